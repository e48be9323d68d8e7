"""Alternatives timed in turn, so that the machine's other work affects them alike."""

import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

_PAUSE = 0.02
"""Seconds between two runs.

OpenMP's threads spin for some milliseconds and would slow the next run.
"""

Name = TypeVar("Name", bound=Hashable)
Contender = Callable[[], object]


@dataclass(frozen=True)
class Timing:
    """Seconds of every counted run of one contender."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Median of the runs, in seconds."""
        return median(self.seconds)


def interleaved(
    contenders: Mapping[Name, Contender],
    repetitions: int,
    *,
    warm_ups: int = 1,
    pause: float = _PAUSE,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[Name, Timing]:
    """Run all contenders in turn, ``repetitions`` times over: A, B, A, B, and so on.

    Args:
        contenders: functions to time, by name.
        repetitions: number of counted rounds, at least 1.
        warm_ups: number of rounds before them that are not counted.
        pause: seconds of rest before every run.
        clock: function that returns the time in seconds.
        sleep: function that waits for a number of seconds.
    """
    seconds: dict[Name, list[float]] = {name: [] for name in contenders}
    for turn in range(warm_ups + repetitions):
        for name, run in contenders.items():
            sleep(pause)
            started = clock()
            run()
            took = clock() - started
            if turn >= warm_ups:
                seconds[name].append(took)
    return {name: Timing(tuple(values)) for name, values in seconds.items()}


def fastest(timings: Mapping[str, Timing], prefix: str = "") -> str:
    """Return the name of the contender with the smallest median among those with the prefix."""
    return min((name for name in timings if name.startswith(prefix)), key=lambda name: timings[name].median)
