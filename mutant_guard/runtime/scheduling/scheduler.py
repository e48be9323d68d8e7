"""The one loop that owns the mutant bank: every run holds rows of all requests in flight."""

import asyncio
import contextlib
import threading
import time
from concurrent.futures import Future, InvalidStateError
from math import inf
from queue import Empty, SimpleQueue

import numpy as np
from numpy.typing import NDArray

from mutant_guard.decision.sequential.policies import Decision
from mutant_guard.errors import NotReadyError, QueueFullError
from mutant_guard.runtime.observer import SILENT, Observer
from mutant_guard.runtime.scheduling.batches import Batches
from mutant_guard.runtime.scheduling.outcome import Outcome, Request

_HANGS_AFTER = 60.0
"""Seconds a run may take before the loop counts as hanging."""
_LONGEST_TURN = 0.02
"""Seconds after which the event loop goes on with other things, whatever is left to run."""


class Scheduler:
    """Continuous batching: at every run new requests join and decided ones leave.

    The loop has a thread of its own. Where runs are so short that handing requests to a thread and back takes longer,
    it may take turns with the event loop instead (``start``).

    Outcomes do not depend on load. The exception is a deadline: after every run the requests that are past theirs
    and undecided end as they stand, and an outcome says so.
    """

    def __init__(self, batches: Batches, *, max_in_flight: int, observer: Observer = SILENT) -> None:
        """Args: what runs, how many requests are admitted, and who is told of a failure."""
        self._batches, self._max_in_flight = batches, max_in_flight
        self._observer = observer
        self._arrivals: SimpleQueue[Request | None] = SimpleQueue()
        self._active: list[Request] = []
        self._lock = threading.Lock()
        self._in_flight = 0
        self._running = self._closed = False
        self._failure: Exception | None = None
        self._stepping_since: float | None = None
        self._thread: threading.Thread | None = None
        self._event_loop: asyncio.AbstractEventLoop | None = None
        self._turn_is_due = False
        self._turn_ended = 0.0
        self._stopped = threading.Event()

    def start(self, event_loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Start the loop, in a thread or in turns with an event loop."""
        self._running, self._event_loop = True, event_loop
        if event_loop is None:
            self._thread = threading.Thread(target=self._loop, name="inference", daemon=True)
            self._thread.start()

    @property
    def ready(self) -> bool:
        """Whether the loop is running and takes requests."""
        return self._running and not self._closed and not self.failed

    @property
    def failed(self) -> bool:
        """Whether the loop ended by a failure, or hangs in a run: the process needs a restart."""
        since = self._stepping_since
        return self._failure is not None or (since is not None and time.perf_counter() - since > _HANGS_AFTER)

    @property
    def event_loop(self) -> asyncio.AbstractEventLoop | None:
        """The event loop that runs take turns with; None where they have a thread."""
        return self._event_loop

    @property
    def in_flight(self) -> int:
        """Requests admitted and not answered yet."""
        return self._in_flight

    @property
    def full(self) -> bool:
        """Whether as many requests are in flight as are admitted."""
        return self._in_flight >= self._max_in_flight

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
            if self.full:
                raise QueueFullError.of(self._max_in_flight)
            self._in_flight += 1
            request.future.add_done_callback(self._leave)
            self._arrivals.put(request)
            self._ask_for_a_turn()
        return request.future

    def close(self, seconds: float | None = None) -> None:
        """Admit no more, finish what is in flight, and stop the loop. Not in the event loop it takes turns with.

        Args:
            seconds: how long to wait for that: a run may hang. By default as long as it takes.
        """
        with self._lock:
            self._closed = True
            self._arrivals.put(None)
            self._ask_for_a_turn()
        if self._thread is not None:
            self._thread.join(seconds)
        elif self._running and self._failure is None:
            self._stopped.wait(seconds)

    def _leave(self, _: "Future[Outcome]") -> None:
        with self._lock:
            self._in_flight -= 1

    def _loop(self) -> None:
        """The thread's: waits for requests where there are none."""
        try:
            closing = False
            while not (closing and not self._active):
                closing = self._admit(closing, wait=not self._active and not closing)
                self._run()
        except Exception as error:
            self._fail(error)

    def _ask_for_a_turn(self) -> None:
        """The event loop's: at its next round, with all that has come by then."""
        loop = self._event_loop
        if loop is None or self._turn_is_due:
            return
        self._turn_is_due = True
        # from the loop's own thread as well: what is called at once would wait for nobody to join the run
        loop.call_soon_threadsafe(self._turn)

    def _turn(self) -> None:
        """As many runs as there is time for: half of it, but no longer than others can wait."""
        self._turn_is_due = False
        now = time.perf_counter()
        until = now + min(now - self._turn_ended, _LONGEST_TURN)
        try:
            while True:
                self._admit(False, wait=False)
                self._run()
                if not self._active or time.perf_counter() >= until:
                    break
        except Exception as error:
            self._stopped.set()
            self._fail(error)
            return
        self._turn_ended = time.perf_counter()
        if self._active:
            self._ask_for_a_turn()
        elif self._closed:
            self._stopped.set()

    def _run(self) -> None:
        self._active = _in_time([request for request in self._active if not request.future.cancelled()])
        if not self._active:
            return
        self._stepping_since = time.perf_counter()
        self._batches.run(self._active)
        self._stepping_since = None
        self._active = [request for request in self._active if not request.ended]

    def _fail(self, error: Exception) -> None:
        with self._lock:
            self._failure, self._stepping_since = error, None
        while not self._arrivals.empty():
            with contextlib.suppress(Empty):
                arrival = self._arrivals.get_nowait()
                self._active.extend([arrival] if arrival is not None else [])
        left, self._active = self._active, []
        for request in left:
            with contextlib.suppress(InvalidStateError):
                request.future.set_exception(
                    NotReadyError("the inference loop failed; the server needs a restart")
                )
        self._observer.failed(error)  # last, as it may fail too

    def _admit(self, closing: bool, *, wait: bool) -> bool:
        """Take what has arrived, and say whether the loop is to end; wait only when there is nothing else to do."""
        while True:
            try:
                arrival = self._arrivals.get(block=wait)
            except Empty:
                return closing
            wait = False
            if arrival is None:
                closing = True
            else:
                self._active.append(arrival)


def _in_time(active: list[Request]) -> list[Request]:
    """End what is past its deadline: undecided where a run has held it, else without an answer."""
    now = time.perf_counter()
    for request in active:
        if request.deadline <= now:
            request.end(Decision.CONTINUE, now)
    return [request for request in active if not request.ended]
