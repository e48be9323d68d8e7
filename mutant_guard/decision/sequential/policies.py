"""Policies: from summed evidence to a decision. Scheduler, calibration and simulation call the same code."""

from dataclasses import dataclass, replace
from enum import IntEnum
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from mutant_guard.decision.evidence.kinds import LABEL_CHANGES, Evidence
from mutant_guard.decision.sequential.boundaries import Boundaries, Counts
from mutant_guard.decision.sequential.characteristic import over_pool

Signs = NDArray[np.bool_] | NDArray[np.integer[Any]]
"""What mutants say of images: label changes, or doubts in units."""

ROUNDING = 1e-9
"""What is added to a bound that a computed probability must not miss by the last bit of a float sum."""


class Decision(IntEnum):
    """State of a request's test. EXHAUSTED and CAPPED are undecided ends: no mutant left, or no more allowed."""

    CONTINUE = 0
    NORMAL = 1
    ADVERSARIAL = 2
    EXHAUSTED = 3
    CAPPED = 4


class ErrorBounds(NamedTuple):
    """Bounds on the probability of a miss (alpha) and of a false alarm (beta)."""

    alpha: float
    beta: float


class Hypotheses(NamedTuple):
    """What error bounds are about: label change counts over the whole pool.

    An input with at least ``high`` changes is adversarial, one with at most ``low`` is normal. Between them lies the
    indifference region, where either verdict may come about.
    """

    low: int
    high: int


class Statistic(Protocol):
    """What a sequential test decides on."""

    @property
    def lower(self) -> float:
        """Log bound at or below which the input is adversarial."""

    @property
    def upper(self) -> float:
        """Log bound at or above which the input is normal."""

    def log_ratio(self, changes: Counts, mutants: Counts) -> NDArray[np.float64]:
        """Log likelihood ratio, elementwise; may be infinite."""


@dataclass(frozen=True, eq=False)
class Policy:
    """How a request's verdict is reached. All methods are elementwise over arrays of requests.

    Attributes:
        name: the name callers choose it by.
        boundaries: where it decides, up to the most mutants a request may use.
        pool: number of mutants there are.
        about: what ``targets`` are about; None for a test on other evidence than label changes, of which nothing is
            known but what clean images do.
        bounds: the bounds the test was made for, None without hypotheses.
        statistic: the likelihood ratio behind the boundaries, None for a test that only adds up.
        capped: whether the test was ended early by ``up_to``.
        evidence: what is added up.
        stops: numbers of mutants after which most decisions come, ascending; between them evidence is worth computing
            together. Empty where any number may be one.
    """

    name: str
    boundaries: Boundaries
    pool: int
    about: Hypotheses | None
    bounds: ErrorBounds | None
    statistic: Statistic | None = None
    capped: bool = False
    evidence: Evidence = LABEL_CHANGES
    stops: tuple[int, ...] = ()

    @property
    def hypotheses(self) -> Hypotheses:
        """The hypotheses of a test on label changes.

        Raises:
            ValueError: the test is on other evidence and has none.
        """
        if self.about is None:
            raise ValueError(f"policy '{self.name}' does not count label changes and has no hypotheses")
        return self.about

    @property
    def targets(self) -> ErrorBounds:
        """The bounds that a test on label changes was made for.

        Raises:
            ValueError: the test is on other evidence and has none.
        """
        if self.bounds is None:
            raise ValueError(f"policy '{self.name}' does not count label changes and has no bounds on errors")
        return self.bounds

    @property
    def mutants(self) -> int:
        """Most mutants a request may use."""
        return self.boundaries.mutants

    @cached_property
    def error_bounds(self) -> ErrorBounds | None:
        """The targets where this test keeps both at its hypotheses, else None.

        Computed exactly for mutants drawn from the pool without replacement. An undecided end counts as an error, so
        a policy whose pool is too small for its hypotheses has none.
        """
        if self.about is None:
            return None
        counts = np.array(self.hypotheses)
        found = over_pool(self.boundaries, counts, self.pool)
        false_alarm, miss = 1 - found.normal[0], 1 - found.adversarial[1]
        if miss <= self.targets.alpha + ROUNDING and false_alarm <= self.targets.beta + ROUNDING:
            return self.targets
        return None

    def decide(self, changes: Counts, mutants: Counts) -> NDArray[np.int8]:
        """Decision codes after evidence ``changes`` of ``mutants``, int64 arrays of one shape.

        What lies behind the last mutant is decided like the last mutant.
        """
        met = np.minimum(mutants, self.mutants)
        last = Decision.CAPPED if self.capped else Decision.EXHAUSTED
        decisions = np.where(mutants >= self.mutants, np.int8(last), np.int8(Decision.CONTINUE))
        decisions[self.boundaries.is_normal(changes, met)] = Decision.NORMAL
        decisions[self.boundaries.is_adversarial(changes, met)] = Decision.ADVERSARIAL
        return decisions

    def keeps_baseline(self, *, undecided: bool) -> bool:
        """Whether clean images raise alarms as often as in calibration; ``undecided``: such a verdict is an alarm too.

        A test that ends early is undecided more often than calibration saw; how often, nobody counted.
        """
        return not (self.capped and undecided)

    def look_ahead(self, changes: Counts, mutants: Counts) -> Counts:
        """Least number of further mutants after which a decision is possible, at least 1."""
        return self.boundaries.look_ahead(changes, mutants)

    def next_stop(self, changes: Counts, mutants: Counts) -> Counts:
        """Further mutants to compute at once, int64 like ``mutants``: up to the next stop, else to the next place where
        the input can be found normal. Traffic is clean, so nearly always all of them are consumed; for an input that is
        not, never more at a time than a clean one's first, or its look-ahead.
        """
        if not self.stops:
            most = np.maximum(self.look_ahead(changes, mutants), self._first)
            return np.minimum(self.boundaries.clearing(changes, mutants), most)
        stops = np.array([*self.stops, self.mutants])
        ahead = stops[np.searchsorted(stops[:-1], mutants, side="right")]
        return np.asarray(np.maximum(np.minimum(ahead, self.mutants) - mutants, 1))

    @cached_property
    def _first(self) -> int:
        """Mutants after which an input whose label none of them changes is normal."""
        none = np.zeros(1, dtype=np.int64)
        return int(self.boundaries.clearing(none, none)[0])

    def up_to(self, mutants: int) -> "Policy":
        """The same policy with at most so many mutants a request; what is undecided then stays so.

        Raises:
            ValueError: fewer than one.
        """
        if mutants < 1:
            raise ValueError(f"a policy needs at least one mutant, got {mutants}")
        if mutants >= self.mutants:
            return self
        return replace(self, boundaries=self.boundaries.until(mutants), capped=True)


class State(NamedTuple):
    """Where a set of requests stands: int64 ``changes``, the evidence so far (label changes, where these are the
    evidence), int64 ``mutants`` and int8 ``decisions``, each [requests].
    """

    changes: Counts
    mutants: Counts
    decisions: NDArray[np.int8]


def advance(policy: Policy, changes: Counts, mutants: Counts, evidence: Signs, lengths: Counts) -> State:
    """Feed evidence one mutant at a time and stop each request at its first decision.

    What lies behind a request's decision is discarded, so the outcome does not depend on how much evidence
    was computed at once.

    Args:
        policy: the policy.
        changes: int64 [requests], evidence so far.
        mutants: int64 [requests], mutants consumed so far.
        evidence: bool or int64 [requests, K], what the next mutants say in each request's own order.
        lengths: int64 [requests], how many of the K are that request's, at least 1.
    """
    steps = np.arange(1, evidence.shape[1] + 1)
    seen_changes = changes[:, None] + np.cumsum(evidence, axis=1)
    # Before the least look-ahead there is nothing to decide, so nothing to compute.
    first = min(int(policy.look_ahead(changes, mutants).min(initial=steps.size)), steps.size) - 1
    decisions = policy.decide(seen_changes[:, first:], mutants[:, None] + steps[first:])
    decisions[steps[first:] > lengths[:, None]] = Decision.CONTINUE
    decided = decisions != Decision.CONTINUE
    at = np.where(decided.any(axis=1), first + decided.argmax(axis=1), lengths - 1)
    rows = np.arange(len(changes))
    reached = np.where(at >= first, decisions[rows, np.maximum(at - first, 0)], np.int8(Decision.CONTINUE))
    return State(seen_changes[rows, at], mutants + at + 1, reached)
