"""Wald's sequential probability ratio test on label changes (Wang et al. 2019, Algorithm 1)."""

from dataclasses import dataclass
from functools import cached_property
from math import log, log1p

import numpy as np
from numpy.typing import NDArray

from mutant_guard.decision.sequential.boundaries import Boundaries, Counts

# Tolerance so that a ratio that meets a bound exactly is not lost to the last bit of a float sum.
_TOLERANCE = 1e-12


@dataclass(frozen=True)
class Sprt:
    """Test of H0 'rate ≥ p0' (adversarial) against H1 'rate ≤ p1' (normal).

    The rate is the label change rate. The ratio is p1^z (1−p1)^(n−z) / (p0^z (1−p0)^(n−z)) after n
    mutants with z label changes. An input is adversarial when the ratio is at most β/(1−α), and
    normal when it is at least (1−β)/α: α bounds misses (adversarial inputs let through) and β false
    alarms, nominally (Wald 1945: α′ ≤ α/(1−β), β′ ≤ β/(1−α), α′+β′ ≤ α+β).

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
        """Step that one label change adds to the log ratio; negative."""
        return log(self.p1) - log(self.p0)

    @cached_property
    def same_step(self) -> float:
        """Step that one unchanged label adds to the log ratio; positive."""
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
        """Return the log likelihood ratio for z ``changes`` among n ``mutants``, elementwise.

        The arrays may have any shape.
        """
        return changes * self.change_step + (mutants - changes) * self.same_step

    def is_adversarial(self, changes: Counts, mutants: Counts) -> NDArray[np.bool_]:
        """Check where the ratio has reached its lower bound."""
        return self.log_ratio(changes, mutants) <= self.lower + _TOLERANCE

    def is_normal(self, changes: Counts, mutants: Counts) -> NDArray[np.bool_]:
        """Check where the ratio has reached its upper bound."""
        return self.log_ratio(changes, mutants) >= self.upper - _TOLERANCE

    def boundaries(self, mutants: int) -> Boundaries:
        """Return the test over at most this many mutants, as counts of label changes."""
        n = np.arange(mutants + 1)
        per_change = self.same_step - self.change_step
        normal = np.floor((n * self.same_step - self.upper) / per_change).astype(np.int64)
        adversarial = np.ceil((n * self.same_step - self.lower) / per_change).astype(np.int64)
        # The division may round to the other side of a whole number, so the ratio itself decides.
        normal = np.where(self.is_normal(normal + 1, n), normal + 1, normal)
        normal = np.where(self.is_normal(normal, n), normal, normal - 1)
        adversarial = np.where(self.is_adversarial(adversarial - 1, n), adversarial - 1, adversarial)
        adversarial = np.where(self.is_adversarial(adversarial, n), adversarial, adversarial + 1)
        return Boundaries(np.maximum(normal, -1), np.clip(adversarial, 0, n + 1))
