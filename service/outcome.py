"""A request in the inference loop, and what its test came to."""

import contextlib
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from detection.policies import Decision
from service.errors import DeadlineError


@dataclass(frozen=True)
class Outcome:
    """What the test of one request came to.

    Attributes:
        label: the original's label.
        scores: float32 [classes], the original's scores.
        decision: NORMAL, ADVERSARIAL, EXHAUSTED, CAPPED, or CONTINUE where the deadline ended the test.
        mutants: mutants consumed, the original not among them.
        label_changes: how many of them changed the label.
        path: bool [mutants], label changes in the order they were met.
        queue_seconds: from submission to the first run.
        run_seconds: from the first run to the end of the test.
    """

    label: int
    scores: NDArray[np.float32]
    decision: Decision
    mutants: int
    label_changes: int
    path: NDArray[np.bool_]
    queue_seconds: float
    run_seconds: float


@dataclass(eq=False)
class Request:
    """Where the test of one request stands. Only the inference loop changes it.

    Attributes:
        inputs: float32 [1, …], the classifier's input.
        order: int64 [pool], mutant numbers in the order this request meets them.
        deadline: when it ends undecided; this and the other times are values of ``time.perf_counter()``.
        submitted: when it was admitted.
        future: what the caller waits on.
        started: when its first run began.
        features: what its mutants share, arrays [1, …]; empty before the first run.
        label: the original's label, −1 before the first run.
        scores: float32 [classes], the original's scores.
        changes: label changes so far.
        mutants: mutants consumed so far.
        path: bool arrays, the label changes of every run.
    """

    inputs: NDArray[np.float32]
    order: NDArray[np.int64]
    deadline: float
    submitted: float
    future: "Future[Outcome]" = field(default_factory=Future)
    started: float = 0.0
    features: list[NDArray[np.float32]] = field(default_factory=list)
    label: int = -1
    scores: NDArray[np.float32] | None = None
    changes: int = 0
    mutants: int = 0
    path: list[NDArray[np.bool_]] = field(default_factory=list)

    def end(self, decision: Decision, now: float) -> None:
        """Answer the request, unless it was cancelled.

        Args:
            decision: what its test came to; CONTINUE where the deadline ended it. Without a label there is nothing
                to answer with and the request fails with a :class:`DeadlineError`.
            now: the time.
        """
        with contextlib.suppress(InvalidStateError):
            if self.scores is None:
                self.future.set_exception(DeadlineError("the deadline passed before the first run"))
                return
            outcome = Outcome(
                label=self.label,
                scores=self.scores,
                decision=decision,
                mutants=self.mutants,
                label_changes=self.changes,
                path=np.concatenate(self.path),
                queue_seconds=self.started - self.submitted,
                run_seconds=now - self.started,
            )
            self.future.set_result(outcome)
