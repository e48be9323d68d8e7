"""Policies, which turn summed evidence into a decision.

Scheduler, calibration and simulation call the same code.
"""

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
"""Evidence of mutants on images: label changes, or doubts in units."""

ROUNDING = 1e-9
"""Tolerance of a bound, so that the last bit of a float sum does not decide."""


class Decision(IntEnum):
    """State of a request's test.

    EXHAUSTED and CAPPED are undecided ends: no mutant is left, or no more are allowed. NOT_FINITE
    is the end of a test that no policy reaches: the original or the next mutant gave scores that
    are NaN or infinite.
    """

    CONTINUE = 0
    NORMAL = 1
    ADVERSARIAL = 2
    EXHAUSTED = 3
    CAPPED = 4
    NOT_FINITE = 5


class ErrorBounds(NamedTuple):
    """Bounds on the probability of a miss (alpha) and of a false alarm (beta)."""

    alpha: float
    beta: float


class Hypotheses(NamedTuple):
    """Hypotheses of error bounds, as label change counts over the whole pool.

    An input with at least ``high`` changes is adversarial, one with at most ``low`` is normal.
    Between them lies the indifference region, where either verdict may result.
    """

    low: int
    high: int


class Statistic(Protocol):
    """Likelihood ratio on which a sequential test decides."""

    @property
    def lower(self) -> float:
        """Log bound at or below which the input is adversarial."""

    @property
    def upper(self) -> float:
        """Log bound at or above which the input is normal."""

    def log_ratio(self, changes: Counts, mutants: Counts) -> NDArray[np.float64]:
        """Return the log likelihood ratio, elementwise; it may be infinite."""


@dataclass(frozen=True, eq=False)
class Policy:
    """Rule by which a request's verdict is reached.

    All methods are elementwise over arrays of requests.

    Attributes:
        name: name by which callers choose the policy.
        boundaries: boundaries at which the policy decides, up to the most mutants a request may
            use.
        pool: number of mutants there are.
        about: hypotheses that ``targets`` are about. None for a test on other evidence than label
            changes, of which only the rates on clean images are known.
        bounds: error bounds that the test was made for; None without hypotheses.
        statistic: likelihood ratio behind the boundaries; None for a test that only adds up.
        capped: whether the test was ended early by ``up_to``.
        evidence: kind of evidence that is added up.
        stops: numbers of mutants after which most decisions come, ascending. Between stops it pays
            to compute evidence together. Empty where a decision may come after any number.
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
        """Hypotheses of a test on label changes.

        Raises:
            ValueError: the test is on other evidence and has none.
        """
        if self.about is None:
            raise ValueError(f"policy '{self.name}' does not count label changes and has no hypotheses")
        return self.about

    @property
    def targets(self) -> ErrorBounds:
        """Error bounds that a test on label changes was made for.

        Raises:
            ValueError: the test is on other evidence and has none.
        """
        if self.bounds is None:
            raise ValueError(f"policy '{self.name}' does not count label changes and has no bounds on errors")
        return self.bounds

    @property
    def mutants(self) -> int:
        """Most mutants that a request may use."""
        return self.boundaries.mutants

    @cached_property
    def error_bounds(self) -> ErrorBounds | None:
        """Targets of the test if it keeps both at its hypotheses, else None.

        Computed exactly for mutants drawn from the pool without replacement. An undecided end
        counts as an error, so a policy whose pool is too small for its hypotheses has none.
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
        """Return decision codes after evidence ``changes`` of ``mutants`` mutants, int8.

        Evidence behind the last mutant is decided like that of the last mutant.

        Args:
            changes: int64 array, evidence so far.
            mutants: int64 array of the same shape, number of mutants.
        """
        met = np.minimum(mutants, self.mutants)
        decisions = self._undecided[met]
        decisions[self.boundaries.is_normal(changes, met)] = Decision.NORMAL
        decisions[self.boundaries.is_adversarial(changes, met)] = Decision.ADVERSARIAL
        return decisions

    @cached_property
    def _undecided(self) -> NDArray[np.int8]:
        """Decision codes after n mutants where evidence decides nothing, int8 [mutants + 1]."""
        codes = np.full(self.mutants + 1, Decision.CONTINUE, dtype=np.int8)
        codes[-1] = Decision.CAPPED if self.capped else Decision.EXHAUSTED
        return codes

    def keeps_baseline(self, *, undecided: bool) -> bool:
        """Check whether clean images raise alarms as often as in calibration.

        A test that ends early is undecided more often than in calibration, and the difference is
        not known.

        Args:
            undecided: whether an undecided verdict counts as an alarm.
        """
        return not (self.capped and undecided)

    def look_ahead(self, changes: Counts, mutants: Counts) -> Counts:
        """Return the least number of further mutants that allow a decision, at least 1."""
        return self.boundaries.look_ahead(changes, mutants)

    def next_stop(self, changes: Counts, mutants: Counts) -> Counts:
        """Return the number of further mutants to compute at once, int64 like ``mutants``.

        It reaches up to the next stop, else to the next place where the input can be found normal.
        Traffic is clean, so nearly always all of them are consumed. For an input that is not clean
        it is never more at a time than a clean one's first number, or the input's look-ahead.
        """
        if not self.stops:
            most = np.maximum(self.look_ahead(changes, mutants), self._first)
            return np.minimum(self.boundaries.clearing(changes, mutants), most)
        ahead = self._ends[np.searchsorted(self._ends[:-1], mutants, side="right")]
        return np.asarray(np.maximum(ahead - mutants, 1))

    @cached_property
    def _ends(self) -> Counts:
        """Stops, and the end of the test behind them, int64 [stops + 1]."""
        ends = np.array([*self.stops, self.mutants], dtype=np.int64)
        return np.asarray(np.minimum(ends, self.mutants))

    @cached_property
    def _first(self) -> int:
        """Number of mutants after which an input is normal whose label none of them changes."""
        none = np.zeros(1, dtype=np.int64)
        return int(self.boundaries.clearing(none, none)[0])

    def up_to(self, mutants: int) -> "Policy":
        """Return the same policy with at most this many mutants for a request.

        A request that is undecided by then stays so.

        Raises:
            ValueError: fewer than one mutant.
        """
        if mutants < 1:
            raise ValueError(f"a policy needs at least one mutant, got {mutants}")
        if mutants >= self.mutants:
            return self
        return replace(self, boundaries=self.boundaries.until(mutants), capped=True)


class State(NamedTuple):
    """State of the tests of a set of requests.

    Attributes:
        changes: int64 [requests], evidence so far (label changes, where these are the evidence).
        mutants: int64 [requests], mutants consumed so far.
        decisions: int8 [requests], decision codes.
    """

    changes: Counts
    mutants: Counts
    decisions: NDArray[np.int8]


def advance(policy: Policy, changes: Counts, mutants: Counts, evidence: Signs, lengths: Counts) -> State:
    """Feed evidence one mutant at a time and stop each request at its first decision.

    Evidence behind a request's decision is discarded, so the outcome does not depend on how much
    evidence was computed at once.

    Args:
        policy: the policy.
        changes: int64 [requests], evidence so far.
        mutants: int64 [requests], mutants consumed so far.
        evidence: bool or int64 [requests, K], evidence of the next mutants in each request's own
            order.
        lengths: int64 [requests], number of the K entries that belong to the request, at least 1.
    """
    if evidence.shape[1] == 1:
        seen, met = changes + evidence[:, 0], mutants + 1
        return State(seen, met, policy.decide(seen, met))
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
