"""Exact confidence intervals for counted rates."""

from collections.abc import Callable
from dataclasses import dataclass
from math import exp, lgamma, log, log1p


@dataclass(frozen=True, slots=True)
class Interval:
    """Counted rate with its two-sided interval.

    ``rate`` is ``count`` / ``trials``, and the interval is [``low``, ``high``] at level
    ``confidence``.
    """

    count: int
    trials: int
    rate: float
    low: float
    high: float
    confidence: float


def clopper_pearson(count: int, trials: int, confidence: float = 0.95) -> Interval:
    """Return the exact binomial interval, whose coverage is at least ``confidence``.

    Source: Clopper and Pearson, Biometrika 26, 1934.

    Args:
        count: successes, 0 to ``trials``.
        trials: number of trials, at least 1.
        confidence: two-sided level.

    Raises:
        ValueError: counts out of range.
    """
    if trials < 1 or not 0 <= count <= trials:
        raise ValueError(f"need 0 <= count <= trials and trials >= 1, got {count} of {trials}")
    tail = (1 - confidence) / 2
    low = 0.0 if count == 0 else _solve(lambda p: 1 - binomial_cdf(count - 1, trials, p), tail)
    high = 1.0 if count == trials else 1 - _solve(lambda q: binomial_cdf(count, trials, 1 - q), tail)
    return Interval(count, trials, count / trials, low, high, confidence)


def binomial_cdf(count: int, trials: int, p: float) -> float:
    """Return P(at most ``count`` successes in ``trials`` trials of probability ``p``).

    Any count is allowed, also one below 0 or above ``trials``.
    """
    if count < 0:
        return 0.0
    if p <= 0.0 or count >= trials:
        return 1.0
    if p >= 1.0:
        return 0.0
    log_p, log_q = log(p), log1p(-p)
    total = sum(
        exp(lgamma(trials + 1) - lgamma(k + 1) - lgamma(trials - k + 1) + k * log_p + (trials - k) * log_q)
        for k in range(count + 1)
    )
    return min(total, 1.0)


def _solve(increasing: Callable[[float], float], target: float) -> float:
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if increasing(middle) < target:
            low = middle
        else:
            high = middle
    return (low + high) / 2
