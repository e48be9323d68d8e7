"""Rates measured in turn: every contender for some seconds, round after round.

The others stay up and idle meanwhile.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

_PAUSE = 0.2
"""Seconds between two contenders, for threads that spin a while after their last work."""


@dataclass(frozen=True)
class Measured:
    """Measurement of one contender in one round.

    Attributes:
        rate: answers a second.
        p50: median latency in seconds, 0 where there is none.
        p99: latency in seconds that 99 of a hundred answers do not exceed.
        inference: share of the time in which the inference loop ran mutants, None where the server
            does not say.
    """

    rate: float
    p50: float = 0.0
    p99: float = 0.0
    inference: float | None = None


Contender = Callable[[float], Measured]
"""Function that measures a contender for a number of seconds."""

Rounds = Mapping[str, list[Measured]]
"""Measurements of every contender, one a round."""


def in_rounds(
    contenders: Mapping[str, Contender],
    rounds: int,
    seconds: float,
    *,
    warm_up: float,
    sleep: Callable[[float], None] = time.sleep,
) -> Rounds:
    """Measure all contenders in turn, ``rounds`` times over.

    A round of ``warm_up`` seconds comes first and does not count.
    """
    measured: dict[str, list[Measured]] = {name: [] for name in contenders}
    for turn in range(1 + rounds):
        for name, measure in contenders.items():
            sleep(_PAUSE)
            found = measure(seconds if turn else warm_up)
            if turn:
                measured[name].append(found)
    return measured


@dataclass(frozen=True)
class Spread:
    """Values of all rounds."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """Median of the values."""
        return median(self.values)

    def shown(self, scale: float = 1.0) -> str:
        """Return the median, and the least and greatest value in brackets."""
        least, middle, most = (
            _short(scale * value) for value in (min(self.values), self.median, max(self.values))
        )
        return f"{middle} ({least}–{most})"


def ratio(numerator: Spread, denominator: Spread) -> Spread:
    """Return the ratio of every round, so that whatever slowed a round down is in both."""
    return Spread(tuple(a / b for a, b in zip(numerator.values, denominator.values, strict=True)))


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
