"""A request in the inference loop, and what its test came to."""

import contextlib
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mutant_guard.decision.sequential.policies import Decision
from mutant_guard.errors import DeadlineError


@dataclass(frozen=True)
class Outcome:
    """What the test of one request came to.

    Attributes:
        label: the original's label.
        scores: float32 [classes], the original's scores.
        decision: NORMAL, ADVERSARIAL, EXHAUSTED, CAPPED, or CONTINUE where the deadline ended the test or none was
            asked for.
        mutants: mutants consumed, the original not among them.
        labels: int64 [mutants], the labels they chose, in the order they were met.
        evidence: int64 [mutants], what they said, in the policy's units.
        own_evidence: what the original counted before any of them, in these units.
        queue_seconds: from submission to the first run.
        run_seconds: from the first run to the end of the test.
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
        """Label changes in the order they were met, bool [mutants]."""
        return np.asarray(self.labels != self.label)

    @property
    def label_changes(self) -> int:
        """How many of the mutants consumed changed the label."""
        return int(self.path.sum())


@dataclass(eq=False)
class Request:
    """Where the test of one request stands. Only the inference loop changes it.

    Attributes:
        inputs: float32 [1, …], the classifier's input.
        order: int64 [pool], mutant numbers in the order this request meets them.
        deadline: when it ends undecided; this and the other times are values of ``time.perf_counter()``.
        submitted: when it was admitted.
        guarded: whether mutants are asked; else the original's label is the answer.
        future: what the caller waits on.
        started: when its first run began.
        features: what its mutants share, arrays [1, …]; empty before the first run.
        label: the original's label, −1 before the first run.
        scores: float32 [classes], the original's scores.
        own_evidence: what the original counts before any mutant.
        changes: evidence so far, the original's included.
        mutants: mutants consumed so far.
        labels: int64 arrays, the labels of every run's mutants.
        evidence: int64 arrays, what they said.
        ended: whether it has been answered.
    """

    inputs: NDArray[np.float32]
    order: NDArray[np.int64]
    deadline: float
    submitted: float
    guarded: bool = True
    future: "Future[Outcome]" = field(default_factory=Future)
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
        """Take over the original's scores float32 [classes]."""
        self.scores, self.label = scores.copy(), int(scores.argmax())

    def end(self, decision: Decision, now: float) -> None:
        """Answer the request, unless it was cancelled.

        Args:
            decision: what its test came to; CONTINUE where the deadline ended it, or where it is not guarded. Without
                a label there is nothing to answer with and the request fails with a ``DeadlineError``.
            now: the time.
        """
        self.ended = True
        with contextlib.suppress(InvalidStateError):
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
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)
