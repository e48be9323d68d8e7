"""Policies: from counted label changes to a decision. Scheduler, calibration and simulation call the same code."""

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from detection.sprt import Counts, Sprt, characteristic


class Decision(IntEnum):
    """State of a request's test. EXHAUSTED: every mutant was used and no bound was reached."""

    CONTINUE = 0
    NORMAL = 1
    ADVERSARIAL = 2
    EXHAUSTED = 3


class ErrorBounds(NamedTuple):
    """Bounds on the probability of a miss (alpha) and of a false alarm (beta)."""

    alpha: float
    beta: float


class Policy(Protocol):
    """How a request's verdict is reached. All methods are elementwise over arrays of requests."""

    @property
    def name(self) -> str:
        """The name callers choose it by."""

    @property
    def pool(self) -> int:
        """Largest number of mutants a request may use."""

    @property
    def error_bounds(self) -> ErrorBounds | None:
        """Bounds that hold for this pool, or None where it is too small for them."""

    def decide(self, changes: Counts, mutants: Counts) -> NDArray[np.int8]:
        """Decision codes after ``changes`` label changes among ``mutants``, int64 arrays of one shape."""

    def look_ahead(self, changes: Counts, mutants: Counts) -> Counts:
        """Least number of further mutants after which a decision is possible, at least 1."""

    def log_ratio(self, changes: Counts, mutants: Counts) -> NDArray[np.float64]:
        """The statistic a decision is taken on."""

    @property
    def bounds(self) -> tuple[float, float]:
        """Where that statistic decides: adversarial at or below the first, normal at or above the second."""


@dataclass(frozen=True)
class SprtPolicy:
    """A sequential test over a pool, its bounds checked after every mutant.

    ``paper`` and ``calibrated`` are both this, with other hypotheses: Algorithm 1 takes p = ςh ∓ δ.

    Attributes:
        name: policy name.
        test: the sequential test.
        pool: number of mutants there are.
    """

    name: str
    test: Sprt
    pool: int

    @cached_property
    def error_bounds(self) -> ErrorBounds | None:
        """α and β where the test truncated at this pool keeps both at its own hypotheses, else None.

        An undecided end counts as an error here, so a pool that is too small for the hypotheses has none.
        Computed exactly for independent mutants, see ``detection.sprt.characteristic``.
        """
        misses = 1 - characteristic(self.test, self.test.p0, self.pool).adversarial
        false_alarms = 1 - characteristic(self.test, self.test.p1, self.pool).normal
        if misses <= self.test.alpha and false_alarms <= self.test.beta:
            return ErrorBounds(self.test.alpha, self.test.beta)
        return None

    @property
    def bounds(self) -> tuple[float, float]:
        """Log bounds: adversarial at or below the first, normal at or above the second."""
        return self.test.lower, self.test.upper

    def decide(self, changes: Counts, mutants: Counts) -> NDArray[np.int8]:
        """See :class:`Policy`."""
        decisions = np.where(mutants >= self.pool, np.int8(Decision.EXHAUSTED), np.int8(Decision.CONTINUE))
        decisions[self.test.is_normal(changes, mutants)] = Decision.NORMAL
        decisions[self.test.is_adversarial(changes, mutants)] = Decision.ADVERSARIAL
        return decisions

    def look_ahead(self, changes: Counts, mutants: Counts) -> Counts:
        """See :class:`Policy`."""
        return np.maximum(np.minimum(self.test.look_ahead(changes, mutants), self.pool - mutants), 1)

    def log_ratio(self, changes: Counts, mutants: Counts) -> NDArray[np.float64]:
        """See :class:`Policy`."""
        return self.test.log_ratio(changes, mutants)


class State(NamedTuple):
    """Where a set of requests stands: int64 ``changes`` and ``mutants``, int8 ``decisions``, each [requests]."""

    changes: Counts
    mutants: Counts
    decisions: NDArray[np.int8]


def advance(
    policy: Policy, changes: Counts, mutants: Counts, evidence: NDArray[np.bool_], lengths: Counts
) -> State:
    """Feed evidence one mutant at a time and stop each request at its first decision.

    What lies behind a request's decision is discarded, so the outcome does not depend on how much evidence
    was computed at once.

    Args:
        policy: the policy.
        changes: int64 [requests], label changes so far.
        mutants: int64 [requests], mutants consumed so far.
        evidence: bool [requests, K], the next label changes in each request's own order.
        lengths: int64 [requests], how many of the K are that request's, at least 1.
    """
    steps = np.arange(1, evidence.shape[1] + 1)
    seen_changes = changes[:, None] + np.cumsum(evidence, axis=1)
    decisions = policy.decide(seen_changes, mutants[:, None] + steps)
    decisions[steps > lengths[:, None]] = Decision.CONTINUE
    decided = decisions != Decision.CONTINUE
    last = np.where(decided.any(axis=1), decided.argmax(axis=1), lengths - 1)
    rows = np.arange(len(changes))
    return State(seen_changes[rows, last], mutants + last + 1, decisions[rows, last])
