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


@dataclass(frozen=True)
class Run:
    """One run of the bank: how many rows it held, of how many requests."""

    rows: int
    requests: int


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
        batch_rows: int,
        max_batch_rows: int,
        on_run: Callable[[Run], None] = lambda run: None,
    ) -> None:
        """Args: the bank, the policy, the limits of ``service.settings``, and who wants to see every run."""
        self._session, self._policy = session, policy
        self._max_in_flight, self._batch_rows, self._max_batch_rows = (
            max_in_flight,
            batch_rows,
            max_batch_rows,
        )
        self._on_run = on_run
        self._arrivals: SimpleQueue[Request | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._in_flight = 0
        self._closed = False
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._loop, name="inference", daemon=True)

    def start(self) -> None:
        """Start the loop."""
        self._thread.start()

    @property
    def ready(self) -> bool:
        """Whether the loop is running and takes requests."""
        return self._thread.is_alive() and not self._closed and self._failure is None

    @property
    def in_flight(self) -> int:
        """Requests admitted and not answered yet."""
        return self._in_flight

    @property
    def waiting(self) -> int:
        """Requests admitted that no run has held yet."""
        return self._arrivals.qsize()

    def submit(
        self, inputs: NDArray[np.float32], order: NDArray[np.int64], *, deadline: float = inf
    ) -> "Future[Outcome]":
        """Admit a request.

        Args:
            inputs: float32 [1, …], the classifier's input.
            order: int64 [pool], mutant numbers in the order this request meets them.
            deadline: when it ends undecided, a value of ``time.perf_counter()``; the run under way then still
                counts. By default never.

        Returns:
            Its outcome, or a DeadlineError where the deadline passed before its first run; cancel it to take the
            request's rows out of the next run.

        Raises:
            QueueFullError: as many requests are in flight as are admitted.
            NotReadyError: the loop is not running.
        """
        request = Request(inputs, order, deadline, submitted=time.perf_counter())
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
                active = [request for request in active if not request.future.cancelled()]
                _end_late(active)
                if active:
                    self._step(active)
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
        taken, lengths, changes, mutants = self._plan(active)
        self._prepare([request for request in taken if not request.features])
        if self._policy.stops:
            going = self._begin(active, taken)
            taken = [request for request, goes in zip(taken, going, strict=True) if goes]
            lengths, mutants = lengths[going], mutants[going]
            changes = np.array([request.changes for request in taken], dtype=np.int64)
            if not taken:
                return
        image_index, mutant_index = _rows(taken, lengths)
        scores = self._session.scores(_features(taken), image_index, mutant_index)
        self._on_run(Run(len(image_index), len(taken)))
        labels = np.zeros((len(taken), int(lengths.max())), dtype=np.int64)
        evidence = np.zeros_like(labels)
        row = 0
        for position, request in enumerate(taken):
            if request.label < 0:
                request.meet(scores[row])
                row += 1
            length = int(lengths[position])
            mine = scores[row : row + length]
            labels[position, :length] = mine.argmax(axis=1)
            evidence[position, :length] = self._policy.evidence.of_mutants(
                mine, np.full(length, request.label, dtype=np.int64)
            )
            row += length
        state = advance(self._policy, changes, mutants, evidence, lengths)
        self._consume(active, taken, labels, evidence, state)

    def _plan(self, active: list[Request]) -> tuple[list[Request], Counts, Counts, Counts]:
        """Which requests take part, longest waiting first, how many mutants each evaluates, and where it stands."""
        changes = np.array([request.changes for request in active], dtype=np.int64)
        mutants = np.array([request.mutants for request in active], dtype=np.int64)
        originals = np.array([request.label < 0 for request in active], dtype=np.int64)
        share = max(1, self._batch_rows // len(active))
        lengths = np.maximum(self._policy.next_stop(changes, mutants), share)
        lengths = np.minimum(lengths, self._policy.mutants - mutants)
        # Memory comes first: only a look-ahead that alone exceeds the limit on rows is met in several runs.
        lengths[0] = min(lengths[0], max(1, self._max_batch_rows - originals[0]))
        rows = np.cumsum(lengths + originals)
        count = max(1, int(np.searchsorted(rows, self._max_batch_rows, side="right")))
        return active[:count], lengths[:count], changes[:count], mutants[:count]

    def _prepare(self, fresh: list[Request]) -> None:
        """Compute once an image what all its mutants share, and keep it while the request lives."""
        if not fresh:
            return
        started = time.perf_counter()
        features = self._session.features(np.concatenate([request.inputs for request in fresh]))
        for position, request in enumerate(fresh):
            request.started = started
            request.features = [part[position : position + 1] for part in features]

    def _begin(self, active: list[Request], taken: list[Request]) -> NDArray[np.bool_]:
        """Count what the originals themselves say; who is decided by that alone leaves without meeting a mutant.

        Returns:
            bool [taken], who goes on.
        """
        fresh = [request for request in taken if request.label < 0]
        if not fresh:
            return np.ones(len(taken), dtype=np.bool_)
        images = np.arange(len(fresh))
        scores = self._session.scores(_features(fresh), images, np.zeros_like(images))
        own = self._policy.evidence.of_original(scores)
        decisions, now = self._policy.decide(own, np.zeros_like(own)), time.perf_counter()
        for position, request in enumerate(fresh):
            request.meet(scores[position])
            request.own_evidence = request.changes = int(own[position])
            if (decision := Decision(int(decisions[position]))) != Decision.CONTINUE:
                active.remove(request)
                request.end(decision, now)
        left = {id(request) for request, decision in zip(fresh, decisions, strict=True) if decision}
        return np.array([id(request) not in left for request in taken])

    def _consume(
        self,
        active: list[Request],
        taken: list[Request],
        labels: NDArray[np.int64],
        evidence: NDArray[np.int64],
        state: State,
    ) -> None:
        now = time.perf_counter()
        for position, request in enumerate(taken):
            used = int(state.mutants[position]) - request.mutants
            request.labels.append(labels[position, :used])
            request.evidence.append(evidence[position, :used])
            request.changes, request.mutants = int(state.changes[position]), int(state.mutants[position])
            decision = Decision(int(state.decisions[position]))
            if decision != Decision.CONTINUE:
                active.remove(request)
                request.end(decision, now)


def _end_late(active: list[Request]) -> None:
    """Take out what is past its deadline: undecided where a run has held it, else without an answer."""
    now = time.perf_counter()
    for request in [request for request in active if request.deadline <= now]:
        active.remove(request)
        request.end(Decision.CONTINUE, now)


def _features(requests: list[Request]) -> list[NDArray[np.float32]]:
    """What the mutants of several requests share, arrays [requests, …]."""
    return [np.concatenate(parts) for parts in zip(*(request.features for request in requests), strict=True)]


def _rows(taken: list[Request], lengths: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(image, mutant) of every row: a request's first run begins with the original, mutant 0."""
    images, mutants = [], []
    for position, (request, length) in enumerate(zip(taken, lengths.tolist(), strict=True)):
        first = [np.zeros(1, dtype=np.int64)] if request.label < 0 else []
        chosen = np.concatenate([*first, request.order[request.mutants : request.mutants + length]])
        images.append(np.full(len(chosen), position, dtype=np.int64))
        mutants.append(chosen)
    return np.concatenate(images), np.concatenate(mutants)
