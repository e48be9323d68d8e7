"""Request in the inference loop, and the outcome of its test."""

import asyncio
import contextlib
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mutant_guard.bank.views import Inputs
from mutant_guard.decision.sequential.policies import Decision
from mutant_guard.errors import DeadlineError

_TAKEN = (InvalidStateError, asyncio.InvalidStateError)
"""Errors of futures that were cancelled."""


@dataclass(frozen=True)
class Outcome:
    """Outcome of the test of one request.

    Attributes:
        label: the original's label; of no meaning where its scores are not finite.
        scores: float32 [classes], the original's scores.
        decision: NORMAL, ADVERSARIAL, EXHAUSTED, CAPPED or NOT_FINITE; CONTINUE where the deadline
            ended the test, or no test was requested.
        mutants: number of consumed mutants, the original not among them.
        labels: int64 [mutants], labels that the mutants chose, in the order in which the request
            met them.
        evidence: int64 [mutants], evidence of each mutant, in the policy's units.
        own_evidence: evidence of the original before any mutant, in the policy's units.
        queue_seconds: seconds from submission to the first run.
        run_seconds: seconds from the first run to the end of the test.
    """

    label: int
    scores: NDArray[np.float32]
    decision: Decision
    mutants: int
    labels: NDArray[np.int64]
    evidence: NDArray[np.int64]
    own_evidence: int
    queue_seconds: float
    run_seconds: float

    @property
    def path(self) -> NDArray[np.bool_]:
        """Label changes in the order in which the request met the mutants, bool [mutants]."""
        return np.asarray(self.labels != self.label)

    @property
    def label_changes(self) -> int:
        """Number of consumed mutants that changed the label."""
        return int(np.count_nonzero(self.labels != self.label))


@dataclass(eq=False)
class Request:
    """State of the test of one request; only the inference loop changes it.

    All times are values of ``time.perf_counter()``.

    Attributes:
        inputs: the image as the networks of the bank read it, arrays [1, …].
        order: int64 [pool], mutant numbers in the order in which this request meets them.
        deadline: time at which the request ends undecided.
        submitted: time at which the request was admitted.
        guarded: whether mutants are asked; else the original's label is the answer.
        future: future that the caller waits on; one of the event loop where runs take turns with it.
        started: time at which the first run began.
        features: features that the mutants share, arrays [1, …]; empty before the first run.
        label: the original's label; −1 before the first run.
        scores: float32 [classes], the original's scores; None before the first run.
        own_evidence: evidence of the original before any mutant.
        changes: evidence so far, the original's included.
        mutants: number of mutants consumed so far.
        labels: int64 arrays, one per run, with the labels of its mutants.
        evidence: int64 arrays, one per run, with the evidence of its mutants.
        ended: whether the request has been answered.
    """

    inputs: Inputs
    order: NDArray[np.int64]
    deadline: float
    submitted: float
    guarded: bool = True
    future: "Future[Outcome] | asyncio.Future[Outcome]" = field(default_factory=Future)
    started: float = 0.0
    features: list[NDArray[np.float32]] = field(default_factory=list)
    label: int = -1
    scores: NDArray[np.float32] | None = None
    own_evidence: int = 0
    changes: int = 0
    mutants: int = 0
    labels: list[NDArray[np.int64]] = field(default_factory=list)
    evidence: list[NDArray[np.int64]] = field(default_factory=list)
    ended: bool = False

    def meet(self, scores: NDArray[np.float32]) -> None:
        """Store the original's scores, float32 [classes], and its label."""
        self.scores, self.label = scores.copy(), int(scores.argmax())

    def fail(self, error: Exception) -> None:
        """End the request with an error, unless it was cancelled."""
        self.ended = True
        with contextlib.suppress(*_TAKEN):
            self.future.set_exception(error)

    def end(self, decision: Decision, now: float) -> None:
        """Answer the request, unless it was cancelled.

        Args:
            decision: end of the test; CONTINUE where the deadline ended it, or where the request is
                not guarded. A request without a label cannot be answered, and fails with a
                ``DeadlineError``.
            now: the present time, a value of ``time.perf_counter()``.
        """
        self.ended = True
        with contextlib.suppress(*_TAKEN):
            if self.scores is None:
                self.future.set_exception(DeadlineError("the deadline passed before the first run"))
                return
            outcome = Outcome(
                label=self.label,
                scores=self.scores,
                decision=decision,
                mutants=self.mutants,
                labels=_joined(self.labels),
                evidence=_joined(self.evidence),
                own_evidence=self.own_evidence,
                queue_seconds=self.started - self.submitted,
                run_seconds=now - self.started,
            )
            self.future.set_result(outcome)


def _joined(parts: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)
