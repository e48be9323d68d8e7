"""Alternatives timed in turn, so that whatever else the machine is doing meets them alike."""

import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

_PAUSE = 0.02
"""Seconds between two runs: OpenMP's threads spin for some milliseconds and would slow whoever comes next."""

Name = TypeVar("Name", bound=Hashable)
Contender = Callable[[], object]


@dataclass(frozen=True)
class Timing:
    """Seconds of every counted run of one contender."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Their median in seconds."""
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
    """Run all contenders one after the other, ``repetitions`` times over: A, B, A, B, …

    Args:
        contenders: what to time, by name.
        repetitions: counted rounds, at least 1.
        warm_ups: rounds before them that are not counted.
        pause: seconds of rest before every run.
        clock: seconds that pass while a contender runs.
        sleep: waits that many seconds.
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
    """Name of the contender with the smallest median among those whose name begins so."""
    return min((name for name in timings if name.startswith(prefix)), key=lambda name: timings[name].median)
