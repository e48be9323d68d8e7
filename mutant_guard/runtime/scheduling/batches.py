"""Runs of the bank for all requests in flight: selection of requests, rows, and results."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mutant_guard.bank.bank_session import BankSession
from mutant_guard.bank.views import joined
from mutant_guard.decision.evidence.kinds import NO_LABEL, labels_of
from mutant_guard.decision.sequential.boundaries import Counts
from mutant_guard.decision.sequential.policies import Decision, Policy, State, advance
from mutant_guard.runtime.scheduling.outcome import Request
from mutant_guard.runtime.scheduling.row_budget import RowBudget

_MOST_REQUESTS = 64
"""Most requests of one run.

Beyond this number each request costs the same, and the first would wait for the last. There are
fewer where the features of so many would take too much memory.
"""


@dataclass(frozen=True)
class Run:
    """Run of the bank.

    Attributes:
        rows: rows of the run; 0 where the scores of the originals were enough.
        requests: requests that the rows belong to.
        seconds: time of the run, with that of its prefix.
    """

    rows: int
    requests: int
    seconds: float


class Batches:
    """Runs of a bank under a policy.

    Each run gathers the rows that the requests in flight need next: at least as many as could clear
    each of them, and more while the machine is idle. Evidence is consumed one mutant at a time in
    the request's order, and evidence behind the decision is discarded. So the outcome of a request
    does not depend on the other requests in flight. Scores that are not finite end a test where it
    meets them.
    """

    def __init__(
        self,
        session: BankSession,
        policy: Policy,
        budget: RowBudget,
        on_run: Callable[[Run], None] = lambda run: None,
    ) -> None:
        """Set up runs of a bank.

        Args:
            session: the bank.
            policy: the policy that decides.
            budget: number of rows that runs are filled with.
            on_run: function that is called with every run.
        """
        self._session, self._policy, self._budget, self._on_run = session, policy, budget, on_run
        # a run holds the features of its requests twice: one by one, and together
        self._most_requests = session.images_together(_MOST_REQUESTS, more_bytes=session.feature_bytes)

    def run(self, taken: list[Request], lengths: Counts) -> None:
        """Do one run: features of new requests first, then rows of all requests that take part.

        Args:
            taken: requests that take part, from ``plan``.
            lengths: int64 [requests], number of mutants that each of them evaluates.
        """
        before = self._session.seconds
        self._begin([request for request in taken if request.label < 0])
        going = np.array([not request.ended for request in taken])
        taken, lengths = [request for request in taken if not request.ended], lengths[going]
        if not taken:
            self._on_run(Run(0, 0, self._session.seconds - before))
            return
        image_index = np.arange(len(taken)).repeat(lengths)
        met = [
            request.order[request.mutants : request.mutants + length]
            for request, length in zip(taken, lengths.tolist(), strict=True)
        ]
        mutant_index = np.concatenate(met)
        features = _features(taken)
        scores = self._session.scores(features, image_index, mutant_index)
        self._on_run(Run(len(image_index), len(taken), self._session.seconds - before))
        known = np.array([request.label for request in taken])
        kind, found = self._policy.evidence, labels_of(scores)
        original = features[-1][image_index] if kind.compares else None
        weights = kind.of_mutants(scores, known[image_index], mutant_index, original)
        labels, evidence = _rectangle(found, lengths), _rectangle(weights, lengths)
        changes = np.array([request.changes for request in taken], dtype=np.int64)
        mutants = np.array([request.mutants for request in taken], dtype=np.int64)
        state = advance(self._policy, changes, mutants, evidence, lengths)
        if (found == NO_LABEL).any():
            state = _up_to_the_finite(state, mutants, changes, labels, evidence)
        _consume(taken, labels, evidence, state)

    def plan(self, active: list[Request]) -> tuple[list[Request], Counts]:
        """Select the requests of the next run.

        Args:
            active: requests in flight, the longest waiting first.

        Returns:
            The first of them, and the number of mutants that each evaluates, int64 [requests].
        """
        changes = np.array([request.changes for request in active], dtype=np.int64)
        mutants = np.array([request.mutants for request in active], dtype=np.int64)
        lengths = self._policy.next_stop(changes, mutants)
        lengths = np.maximum(lengths, self._budget.share(len(active)))
        lengths = np.minimum(lengths, self._policy.mutants - mutants)
        # Memory comes first: a request that needs more rows at once than a run holds takes several
        # runs.
        lengths[0] = min(lengths[0], self._budget.most)
        count = max(1, int(np.searchsorted(np.cumsum(lengths), self._budget.most, side="right")))
        count = min(count, self._most_requests)
        return active[:count], lengths[:count]

    def _begin(self, fresh: list[Request]) -> None:
        """Compute the features of new requests, which all mutants share, and keep them.

        The original's scores come with the features. A request that these scores decide ends
        without meeting a mutant.
        """
        if not fresh:
            return
        started = time.perf_counter()
        features = self._session.features(joined([request.inputs for request in fresh]))
        scores = features[-1]
        own = self._policy.evidence.of_original(scores)
        found = self._policy.decide(own, np.zeros_like(own))
        found[labels_of(scores) == NO_LABEL] = Decision.NOT_FINITE
        decisions = found.tolist()
        now = time.perf_counter()
        for position, request in enumerate(fresh):
            request.started = started
            request.features = [part[position : position + 1] for part in features]
            request.meet(scores[position])
            request.own_evidence = request.changes = int(own[position])
            if not request.guarded and decisions[position] != Decision.NOT_FINITE:
                request.end(Decision.CONTINUE, now)
            elif decisions[position] != Decision.CONTINUE:
                request.end(Decision(decisions[position]), now)


def _rectangle(values: NDArray[np.int64], lengths: Counts) -> NDArray[np.int64]:
    """Return values of rows as int64 [requests, K], each request's from the left, then zeros."""
    widest = int(lengths.max())
    if widest * len(lengths) == len(values):
        return values.reshape(-1, widest)
    filled = np.arange(widest) < lengths[:, None]
    rectangle = np.zeros(filled.shape, dtype=np.int64)
    rectangle[filled] = values
    return rectangle


def _up_to_the_finite(
    state: State, before: Counts, changes: Counts, labels: NDArray[np.int64], evidence: NDArray[np.int64]
) -> State:
    """Return the state of tests that end where the next mutant's scores are not finite.

    That mutant says nothing and is not consumed. A test that was decided before stays as it is.

    Args:
        state: state as if all scores were finite.
        before: int64 [requests], mutants consumed before this run.
        changes: int64 [requests], evidence before this run.
        labels: int64 [requests, K], labels of the next mutants; ``NO_LABEL`` where scores are not
            finite.
        evidence: int64 [requests, K], evidence of the next mutants.
    """
    position = np.arange(labels.shape[1])
    missing = (labels == NO_LABEL) & (position < (state.mutants - before)[:, None])
    first = np.where(missing.any(axis=1), missing.argmax(axis=1), labels.shape[1])
    met = np.where(position < first[:, None], evidence, 0).sum(axis=1)
    ends = missing.any(axis=1)
    return State(
        np.where(ends, changes + met, state.changes),
        np.where(ends, before + first, state.mutants),
        np.where(ends, np.int8(Decision.NOT_FINITE), state.decisions),
    )


def _consume(
    taken: list[Request], labels: NDArray[np.int64], evidence: NDArray[np.int64], state: State
) -> None:
    """Add to each request its evidence up to the decision, and end the decided requests."""
    now = time.perf_counter()
    stands = zip(*(part.tolist() for part in state), strict=True)
    for position, (request, (changes, mutants, decision)) in enumerate(zip(taken, stands, strict=True)):
        used = mutants - request.mutants
        request.labels.append(labels[position, :used])
        request.evidence.append(evidence[position, :used])
        request.changes, request.mutants = changes, mutants
        if decision != Decision.CONTINUE:
            request.end(Decision(decision), now)


def _features(requests: list[Request]) -> list[NDArray[np.float32]]:
    """Return the features of several requests, arrays [requests, …]."""
    if len(requests) == 1:
        return requests[0].features
    return [np.concatenate(parts) for parts in zip(*(request.features for request in requests), strict=True)]
