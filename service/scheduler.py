"""The one loop that owns the mutant bank: every run holds rows of all requests in flight."""

import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass
from math import inf
from queue import Empty, SimpleQueue

import numpy as np
import structlog
from numpy.typing import NDArray

from detection.boundaries import Counts
from detection.policies import Decision, Policy, State, advance
from mutant_store.bank_session import BankSession
from service.errors import NotReadyError, QueueFullError
from service.outcome import Outcome, Request
from service.row_budget import RowBudget


@dataclass(frozen=True)
class Run:
    """One run of the bank: how many rows it held, of how many requests, and the seconds it took with its prefix.

    No rows where the originals alone were enough.
    """

    rows: int
    requests: int
    seconds: float


_HANGS_AFTER = 60.0
"""Seconds a step may take before the loop counts as hanging."""


class Scheduler:
    """Continuous batching over a bank and a policy.

    Each step gathers the rows that the requests in flight need next: at least each one's look-ahead, so that
    none takes part in a run that cannot decide it, and more while the machine is idle. Evidence is consumed one
    mutant at a time in the request's order and what lies behind its decision is discarded, so the outcome does
    not depend on what else was in flight. The exception is a deadline: after every run the requests that are past
    theirs and undecided end as they stand, and an outcome says so.
    """

    def __init__(
        self,
        session: BankSession,
        policy: Policy,
        *,
        max_in_flight: int,
        budget: RowBudget,
        on_run: Callable[[Run], None] = lambda run: None,
    ) -> None:
        """Args: the bank, the policy, how many requests to admit, how to fill runs, and who wants to see every run."""
        self._session, self._policy = session, policy
        self._max_in_flight, self.budget = max_in_flight, budget
        self._on_run = on_run
        self._arrivals: SimpleQueue[Request | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._in_flight = 0
        self._closed = False
        self._failure: Exception | None = None
        self._stepping_since: float | None = None
        self._thread = threading.Thread(target=self._loop, name="inference", daemon=True)

    def start(self) -> None:
        """Start the loop."""
        self._thread.start()

    @property
    def ready(self) -> bool:
        """Whether the loop is running and takes requests."""
        return self._thread.is_alive() and not self._closed and not self.failed

    @property
    def failed(self) -> bool:
        """Whether the loop ended by a failure, or hangs in a run: the process needs a restart."""
        since = self._stepping_since
        return self._failure is not None or (since is not None and time.perf_counter() - since > _HANGS_AFTER)

    @property
    def in_flight(self) -> int:
        """Requests admitted and not answered yet."""
        return self._in_flight

    @property
    def waiting(self) -> int:
        """Requests admitted that no run has held yet."""
        return self._arrivals.qsize()

    def submit(
        self,
        inputs: NDArray[np.float32],
        order: NDArray[np.int64],
        *,
        deadline: float = inf,
        guarded: bool = True,
    ) -> "Future[Outcome]":
        """Admit a request.

        Args:
            inputs: float32 [1, …], the classifier's input.
            order: int64 [pool], mutant numbers in the order this request meets them.
            deadline: when it ends undecided, a value of ``time.perf_counter()``; the run under way then still
                counts. By default never.
            guarded: whether to ask mutants; else the outcome is the original's label, undecided by no mutant.

        Returns:
            Its outcome, or a DeadlineError where the deadline passed before its first run; cancel it to take the
            request's rows out of the next run.

        Raises:
            QueueFullError: as many requests are in flight as are admitted.
            NotReadyError: the loop is not running.
        """
        request = Request(inputs, order, deadline, submitted=time.perf_counter(), guarded=guarded)
        with self._lock:
            if not self.ready:
                raise NotReadyError("the inference loop is not running; try again in a moment")
            if self._in_flight >= self._max_in_flight:
                raise QueueFullError(
                    f"{self._max_in_flight} requests are in flight already; try again in a moment"
                )
            self._in_flight += 1
            request.future.add_done_callback(self._leave)
            self._arrivals.put(request)
        return request.future

    def rehearse(self, requests: list[Request], mutants: int) -> float:
        """Seconds of one run for requests that are new, each with so many mutants; before the start only."""
        self._begin(requests)
        for request in requests:
            request.ended = False  # whatever the original alone may have said
        self.budget = RowBudget(len(requests) * mutants, fill=len(requests) * mutants)
        started = time.perf_counter()
        self._step(requests)
        return time.perf_counter() - started

    def close(self) -> None:
        """Admit no more, finish what is in flight, and stop the loop."""
        with self._lock:
            self._closed = True
            self._arrivals.put(None)
        if self._thread.is_alive():
            self._thread.join()

    def _leave(self, _: "Future[Outcome]") -> None:
        with self._lock:
            self._in_flight -= 1

    def _loop(self) -> None:
        active: list[Request] = []
        closing = False
        try:
            while not (closing and not active):
                closing = self._admit(active, closing)
                active = _in_time([request for request in active if not request.future.cancelled()])
                if active:
                    self._stepping_since = time.perf_counter()
                    self._step(active)
                    self._stepping_since = None
                    active = [request for request in active if not request.ended]
        except Exception as error:
            self._fail(active, error)  # before anything else that may fail
            structlog.get_logger().exception("inference loop failed")

    def _fail(self, active: list[Request], error: Exception) -> None:
        with self._lock:
            self._failure = error
        while not self._arrivals.empty():
            with contextlib.suppress(Empty):
                arrival = self._arrivals.get_nowait()
                active.extend([arrival] if arrival is not None else [])
        for request in active:
            with contextlib.suppress(InvalidStateError):
                request.future.set_exception(
                    NotReadyError("the inference loop failed; the server needs a restart")
                )

    def _admit(self, active: list[Request], closing: bool) -> bool:
        """Take what has arrived; wait only when there is nothing else to do."""
        while True:
            try:
                arrival = self._arrivals.get(block=not active and not closing)
            except Empty:
                return closing
            if arrival is None:
                closing = True
            else:
                active.append(arrival)

    def _step(self, active: list[Request]) -> None:
        """One run: features of who is new, then rows of all who take part."""
        taken, lengths = self._plan(active)
        before = self._session.seconds
        self._begin([request for request in taken if request.label < 0])
        going = np.array([not request.ended for request in taken])
        taken, lengths = [request for request in taken if not request.ended], lengths[going]
        if not taken:
            self._on_run(Run(0, 0, self._session.seconds - before))
            return
        image_index = np.repeat(np.arange(len(taken)), lengths)
        met = [
            request.order[request.mutants : request.mutants + length]
            for request, length in zip(taken, lengths.tolist(), strict=True)
        ]
        scores = self._session.scores(_features(taken), image_index, np.concatenate(met))
        self._on_run(Run(len(image_index), len(taken), self._session.seconds - before))
        known = np.array([request.label for request in taken])
        # a rectangle of requests and mutants, each request's rows from the left
        column = np.arange(len(image_index)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        labels = np.zeros((len(taken), int(lengths.max())), dtype=np.int64)
        evidence = np.zeros_like(labels)
        labels[image_index, column] = scores.argmax(axis=1)
        evidence[image_index, column] = self._policy.evidence.of_mutants(scores, known[image_index])
        changes = np.array([request.changes for request in taken], dtype=np.int64)
        mutants = np.array([request.mutants for request in taken], dtype=np.int64)
        state = advance(self._policy, changes, mutants, evidence, lengths)
        _consume(taken, labels, evidence, state)

    def _plan(self, active: list[Request]) -> tuple[list[Request], Counts]:
        """Which requests take part, longest waiting first, and how many mutants each evaluates."""
        changes = np.array([request.changes for request in active], dtype=np.int64)
        mutants = np.array([request.mutants for request in active], dtype=np.int64)
        lengths = self._policy.next_stop(changes, mutants)
        if not self._policy.stops:  # between stops surplus evidence hardly ever decides
            lengths = np.maximum(lengths, self.budget.share(len(active)))
        lengths = np.minimum(lengths, self._policy.mutants - mutants)
        # Memory comes first: only a look-ahead that alone exceeds the limit on rows is met in several runs.
        lengths[0] = min(lengths[0], self.budget.most)
        count = max(1, int(np.searchsorted(np.cumsum(lengths), self.budget.most, side="right")))
        return active[:count], lengths[:count]

    def _begin(self, fresh: list[Request]) -> None:
        """Compute once an image what all its mutants share, and keep it while the request lives.

        The original's scores come with it. Who is decided by these alone leaves without meeting a mutant.
        """
        if not fresh:
            return
        started = time.perf_counter()
        features = self._session.features(np.concatenate([request.inputs for request in fresh]))
        scores = features[-1]
        own = self._policy.evidence.of_original(scores)
        decisions = self._policy.decide(own, np.zeros_like(own)).tolist()
        now = time.perf_counter()
        for position, request in enumerate(fresh):
            request.started = started
            request.features = [part[position : position + 1] for part in features]
            request.meet(scores[position])
            request.own_evidence = request.changes = int(own[position])
            if not request.guarded:
                request.end(Decision.CONTINUE, now)
            elif decisions[position] != Decision.CONTINUE:
                request.end(Decision(decisions[position]), now)


def _consume(
    taken: list[Request], labels: NDArray[np.int64], evidence: NDArray[np.int64], state: State
) -> None:
    """Take over what was met up to each request's decision, and end who has one."""
    now = time.perf_counter()
    stands = zip(*(part.tolist() for part in state), strict=True)
    for position, (request, (changes, mutants, decision)) in enumerate(zip(taken, stands, strict=True)):
        used = mutants - request.mutants
        request.labels.append(labels[position, :used])
        request.evidence.append(evidence[position, :used])
        request.changes, request.mutants = changes, mutants
        if decision != Decision.CONTINUE:
            request.end(Decision(decision), now)


def _in_time(active: list[Request]) -> list[Request]:
    """End what is past its deadline: undecided where a run has held it, else without an answer."""
    now = time.perf_counter()
    for request in active:
        if request.deadline <= now:
            request.end(Decision.CONTINUE, now)
    return [request for request in active if not request.ended]


def _features(requests: list[Request]) -> list[NDArray[np.float32]]:
    """What the mutants of several requests share, arrays [requests, …]."""
    return [np.concatenate(parts) for parts in zip(*(request.features for request in requests), strict=True)]
