"""Wald's sequential probability ratio test on label changes (Wang et al. 2019, Algorithm 1)."""

from dataclasses import dataclass
from functools import cached_property
from math import log, log1p

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]

# Ratios that meet a bound exactly must not be lost to the last bit of a float sum.
_TOLERANCE = 1e-12


@dataclass(frozen=True)
class Sprt:
    """The test of H0 'label change rate ≥ p0' (adversarial) against H1 'label change rate ≤ p1' (normal).

    The ratio is p1^z (1−p1)^(n−z) / (p0^z (1−p0)^(n−z)) after n mutants with z label changes. Adversarial
    when it is at most β/(1−α), normal when it is at least (1−β)/α: α bounds misses (adversarial inputs let
    through) and β false alarms, nominally (Wald 1945: α′ ≤ α/(1−β), β′ ≤ β/(1−α), α′+β′ ≤ α+β).

    Attributes:
        p0: label change rate of an adversarial input, p1 < p0 < 1.
        p1: label change rate of a normal input, 0 < p1.
        alpha: nominal bound on misses.
        beta: nominal bound on false alarms.

    Raises:
        ValueError: the rates are not 0 < p1 < p0 < 1, or α, β are not positive with α + β < 1.
    """

    p0: float
    p1: float
    alpha: float = 0.05
    beta: float = 0.05

    def __post_init__(self) -> None:
        if not 0 < self.p1 < self.p0 < 1:
            raise ValueError(f"need 0 < p1 < p0 < 1, got p1={self.p1}, p0={self.p0}")
        if not (self.alpha > 0 and self.beta > 0 and self.alpha + self.beta < 1):
            raise ValueError(f"need alpha > 0, beta > 0 and alpha + beta < 1, got {self.alpha}, {self.beta}")

    @cached_property
    def change_step(self) -> float:
        """What one label change adds to the log ratio; negative."""
        return log(self.p1) - log(self.p0)

    @cached_property
    def same_step(self) -> float:
        """What one unchanged label adds to the log ratio; positive."""
        return log1p(-self.p1) - log1p(-self.p0)

    @cached_property
    def lower(self) -> float:
        """Log bound at or below which the input is adversarial."""
        return log(self.beta) - log1p(-self.alpha)

    @cached_property
    def upper(self) -> float:
        """Log bound at or above which the input is normal."""
        return log1p(-self.beta) - log(self.alpha)

    def log_ratio(self, changes: Counts, mutants: Counts) -> NDArray[np.float64]:
        """Log likelihood ratio for z ``changes`` among n ``mutants``; any shape, elementwise."""
        return changes * self.change_step + (mutants - changes) * self.same_step

    def is_adversarial(self, changes: Counts, mutants: Counts) -> NDArray[np.bool_]:
        """Where the ratio has reached its lower bound."""
        return self.log_ratio(changes, mutants) <= self.lower + _TOLERANCE

    def is_normal(self, changes: Counts, mutants: Counts) -> NDArray[np.bool_]:
        """Where the ratio has reached its upper bound."""
        return self.log_ratio(changes, mutants) >= self.upper - _TOLERANCE

    def look_ahead(self, changes: Counts, mutants: Counts) -> Counts:
        """Least number of further mutants after which either bound can be reached, at least 1."""
        ratio = self.log_ratio(changes, mutants)
        to_normal = np.ceil((self.upper - ratio) / self.same_step - 1e-9)
        to_adversarial = np.ceil((ratio - self.lower) / -self.change_step - 1e-9)
        return np.maximum(np.minimum(to_normal, to_adversarial), 1).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Characteristic:
    """What the test does with independent label changes of a given rate over a pool of a given size.

    Attributes:
        normal, adversarial, undecided: probabilities of the three ends; they sum to 1.
        mutants: expected number of mutants used.
    """

    normal: float
    adversarial: float
    undecided: float
    mutants: float


def characteristic(test: Sprt, rate: float, pool: int) -> Characteristic:
    """Exact operating characteristic of the test truncated at ``pool`` mutants, by dynamic programming.

    Each step moves the probability of every undecided (n, z) to (n+1, z) and (n+1, z+1) and takes out what
    has reached a bound. O(pool²).

    Args:
        test: the sequential test.
        rate: label change probability of each mutant, 0 to 1.
        pool: largest number of mutants, at least 1.
    """
    alive = np.zeros(pool + 1)
    alive[0] = 1.0
    changes = np.arange(pool + 1)
    normal = adversarial = expected = 0.0
    for mutants in range(1, pool + 1):
        expected += float(alive.sum())
        moved = alive * (1 - rate)
        moved[1:] += alive[:-1] * rate
        counts = np.full_like(changes, mutants)
        is_adversarial = test.is_adversarial(changes, counts)
        is_normal = test.is_normal(changes, counts)
        adversarial += float(moved[is_adversarial].sum())
        normal += float(moved[is_normal].sum())
        alive = np.where(is_adversarial | is_normal, 0.0, moved)
    return Characteristic(normal, adversarial, float(alive.sum()), expected)
