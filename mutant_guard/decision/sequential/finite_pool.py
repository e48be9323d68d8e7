"""Sequential probability ratio test on a finite pool, each mutant met at most once."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import inf, log

import numpy as np
from numpy.typing import NDArray

from mutant_guard.decision.sequential.boundaries import Boundaries, Counts
from mutant_guard.decision.sequential.combinatorics import log_factorials

# Tolerance so that a ratio that meets a bound exactly is not lost to the last bit of a float sum.
_TOLERANCE = 1e-9
# Most label change counts of a mixture.
_PLACES = 64

Logs = NDArray[np.float64]


@dataclass(frozen=True)
class Mixture:
    """Label change counts over the whole pool that a normal input may have, with their weights.

    Attributes:
        counts: label change counts, increasing.
        weights: weights of the counts, positive, their sum 1.
    """

    counts: tuple[int, ...]
    weights: tuple[float, ...]

    @classmethod
    def of_images(cls, counts: Counts, threshold: int) -> "Mixture":
        """Return the counts of clean images below a threshold, and one image more.

        The additional image is spread over all counts below the threshold, and keeps every such
        count possible. Above 64 counts, 64 evenly spaced ones stand for all.

        Args:
            counts: int64 [images].
            threshold: label change count, at least 1.
        """
        places = np.unique(np.rint(np.linspace(0, threshold - 1, min(threshold, _PLACES))).astype(np.int64))
        below = counts[counts < threshold]
        nearest = np.abs(below[:, None] - places).argmin(axis=1)
        images = np.bincount(nearest, minlength=places.size) + 1 / places.size
        return cls(tuple(places.tolist()), tuple((images / images.sum()).tolist()))

    @property
    def largest(self) -> int:
        """Largest count."""
        return self.counts[-1]

    @property
    def mean(self) -> float:
        """Mean count."""
        return float(np.dot(self.counts, self.weights))


@dataclass(frozen=True)
class FinitePoolSprt:
    """Test of 'at least ``high`` mutants change the label' against 'as many as on clean images'.

    It is about all mutants of the pool. Mutants are drawn without replacement, so z label changes
    among n mutants are hypergeometric. The ratio is that of Wald's test (Sequential Analysis,
    1947), P(z, n | normal) / P(z, n | high), with the mixture of clean images' counts as its normal
    hypothesis: this is cheap for clean images, where a single count would be cheap for inputs at
    that count. An input is normal at or above 1/α, and adversarial at or below β. By Ville's
    inequality an input with ``high`` changes is called normal with probability at most α, whatever
    the size of the pool. An input with more changes is no more likely to be called normal, as the
    likelihood ratio is monotone in z. A clean input, drawn from the mixture, is called adversarial
    with probability at most β.

    Where the evidence rules out one of the hypotheses, the ratio is 0 or infinite and decides,
    since the mutants left cannot bring that count about: an input is adversarial once it has more
    changes than any normal one. So the test never ends undecided. From ``high`` changes on, or up
    to the largest normal count, an input that uses the whole pool gets the whole pool's verdict.

    Attributes:
        pool: number of mutants.
        normal: label change counts of normal inputs, all below ``high``.
        high: least label changes of an adversarial input, at most the pool.
        alpha: bound on misses.
        beta: bound on false alarms.

    Raises:
        ValueError: not 0 ≤ counts < high ≤ pool, or α or β not between 0 and 1.
    """

    pool: int
    normal: Mixture
    high: int
    alpha: float
    beta: float

    def __post_init__(self) -> None:
        if not self.normal.counts:
            raise ValueError("need at least one count of normal inputs")
        if not 0 <= self.normal.counts[0] <= self.normal.largest < self.high <= self.pool:
            raise ValueError(
                f"need 0 <= counts < high <= pool, got {self.normal.largest}, {self.high}, {self.pool}"
            )
        if not (0 < self.alpha < 1 and 0 < self.beta < 1):
            raise ValueError(f"need alpha and beta between 0 and 1, got {self.alpha}, {self.beta}")

    @classmethod
    def between(cls, pool: int, low: int, high: int, alpha: float, beta: float) -> "FinitePoolSprt":
        """Return the test of two single counts.

        Inputs with at most ``low`` changes raise a false alarm with probability at most β.
        """
        return cls(pool, Mixture((low,), (1.0,)), high, alpha, beta)

    @cached_property
    def lower(self) -> float:
        """Log bound at or below which the input is adversarial."""
        return log(self.beta)

    @cached_property
    def upper(self) -> float:
        """Log bound at or above which the input is normal."""
        return -log(self.alpha)

    def log_ratio(self, changes: Counts, mutants: Counts) -> Logs:
        """Return the log likelihood ratio for z ``changes`` among n ``mutants``, elementwise.

        The arrays may have any shape. The ratio is −∞ where there are more changes than any normal
        input has, else ∞ where too many labels are unchanged for ``high``.
        """
        unchanged = mutants - changes
        too_many = changes > self.normal.largest
        finite = ~too_many & (unchanged <= self.pool - self.high)
        z, same = np.where(finite, changes, 0), np.where(finite, unchanged, 0)
        counts = np.array(self.normal.counts)
        each = self._log_likelihood(counts, z[..., None], same[..., None]) + np.log(self.normal.weights)
        largest = each.max(axis=-1)
        mixed = largest + np.log(np.exp(each - largest[..., None]).sum(axis=-1))
        ratio = mixed - self._log_likelihood(np.array(self.high), z, same)
        return np.where(finite, ratio, np.where(too_many, -inf, inf))

    def boundaries(self) -> Boundaries:
        """Return the test as counts of label changes.

        They are found by bisection: the ratio falls with every label change.
        """
        n = np.arange(self.pool + 1)
        return Boundaries(
            last_that(n, lambda z: self.log_ratio(z, n) >= self.upper - _TOLERANCE),
            last_that(n, lambda z: self.log_ratio(z, n) > self.lower + _TOLERANCE) + 1,
        )

    def _log_likelihood(self, count: Counts, changes: Counts, unchanged: Counts) -> Logs:
        """Return the log probability of a path, up to a term that does not depend on ``count``.

        It is −∞ where the path is impossible.
        """
        logs = log_factorials(self.pool)
        left, others_left = count - changes, self.pool - count - unchanged
        possible = (left >= 0) & (others_left >= 0)
        log_paths = logs[np.where(possible, left, 0)] + logs[np.where(possible, others_left, 0)]
        return np.where(possible, logs[count] + logs[self.pool - count] - log_paths, -inf)


def last_that(mutants: Counts, holds: Callable[[Counts], NDArray[np.bool_]]) -> Counts:
    """Return the most label changes for which a condition holds.

    The condition has to hold for all fewer label changes as well.

    Args:
        mutants: int64 [N], the most label changes there can be.
        holds: function that checks whether label changes int64 [N], each at most its ``mutants``,
            meet the condition.

    Returns:
        int64 [N]; −1 where none meets it.
    """
    known, beyond = np.full_like(mutants, -1), mutants + 1
    while (beyond - known > 1).any():
        middle = np.minimum((known + beyond) // 2, mutants)
        met = (middle > known) & holds(np.maximum(middle, 0))
        known, beyond = np.where(met, middle, known), np.where(met | (middle <= known), beyond, middle)
    return known
