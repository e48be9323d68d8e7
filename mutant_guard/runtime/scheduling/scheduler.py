"""Loop that owns the mutant bank: every run holds rows of all requests in flight."""

import asyncio
import contextlib
import threading
import time
from concurrent.futures import Future
from math import inf
from queue import Empty, SimpleQueue

import numpy as np
from numpy.typing import NDArray

from mutant_guard.bank.views import Inputs
from mutant_guard.decision.sequential.policies import Decision
from mutant_guard.errors import NotReadyError, QueueFullError, RunFailedError
from mutant_guard.runtime.observer import SILENT, Observer
from mutant_guard.runtime.scheduling.batches import Batches
from mutant_guard.runtime.scheduling.outcome import Outcome, Request

_HANGS_AFTER = 60.0
"""Seconds a run may take before the loop counts as hanging."""
_MOST_FAILURES = 5
"""Runs that may fail one after the other; with the last of them the loop has failed."""
_LONGEST_TURN = 0.02
"""Seconds after which the event loop goes on with other work, whatever is left to run."""


class Scheduler:
    """Continuous batching: at every run new requests join and decided ones leave.

    The loop has a thread of its own. Where runs are shorter than the handover of a request to a
    thread and back, the loop may take turns with the event loop instead (``start``).

    A run that fails ends the requests in it, and the loop goes on. Several failures in a row, with
    no run in between that succeeds, end the loop.

    Outcomes do not depend on load. The exception is a deadline: after every run, undecided requests
    past their deadline end with the evidence they have, and their outcome says so.
    """

    def __init__(self, batches: Batches, *, max_in_flight: int, observer: Observer = SILENT) -> None:
        """Make a loop, which ``start`` starts.

        Args:
            batches: the runs of the bank.
            max_in_flight: most requests that are admitted at the same time.
            observer: object that is told of a failure.
        """
        self._batches, self._max_in_flight = batches, max_in_flight
        self._observer = observer
        self._arrivals: SimpleQueue[Request | None] = SimpleQueue()
        self._active: list[Request] = []
        self._lock = threading.Lock()
        self._in_flight = 0
        self._running = self._closed = False
        self._failure: Exception | None = None
        self._failures = 0
        self._stepping_since: float | None = None
        self._thread: threading.Thread | None = None
        self._event_loop: asyncio.AbstractEventLoop | None = None
        self._turn_is_due = False
        self._turn_ended = 0.0
        self._stopped = threading.Event()

    def start(self, event_loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Start the loop, in a thread of its own or in turns with an event loop.

        Args:
            event_loop: the event loop to take turns with; None for a thread.
        """
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
        """Whether the loop has failed for good or hangs in a run; the process needs a restart."""
        since = self._stepping_since
        return self._failure is not None or (since is not None and time.perf_counter() - since > _HANGS_AFTER)

    @property
    def event_loop(self) -> asyncio.AbstractEventLoop | None:
        """Event loop that runs take turns with; None where runs have a thread."""
        return self._event_loop

    @property
    def in_flight(self) -> int:
        """Number of requests that are admitted and not answered yet."""
        return self._in_flight

    @property
    def full(self) -> bool:
        """Whether the highest number of requests is in flight."""
        return self._in_flight >= self._max_in_flight

    @property
    def waiting(self) -> int:
        """Number of admitted requests that have not been in a run yet."""
        return self._arrivals.qsize()

    def submit(
        self,
        inputs: Inputs,
        order: NDArray[np.int64],
        *,
        deadline: float = inf,
        guarded: bool = True,
    ) -> "Future[Outcome]":
        """Admit a request.

        Args:
            inputs: the image as the networks of the bank read it, arrays [1, …].
            order: int64 [pool], mutant numbers in the order in which this request meets them.
            deadline: time at which the request ends undecided, a value of ``time.perf_counter()``.
                A run that goes on at that time still counts. By default there is no deadline.
            guarded: whether to ask mutants. Else the outcome is the original's label, undecided
                without any mutant.

        Returns:
            Future of the outcome. It fails with a DeadlineError where the deadline passes before
            the first run, and with a RunFailedError where a run of the request fails. Cancel it to
            take the request's rows out of the next run.

        Raises:
            QueueFullError: the highest number of requests is in flight.
            NotReadyError: the loop is not running.
        """
        future: Future[Outcome] = Future()
        self._take(Request(inputs, order, deadline, time.perf_counter(), guarded, future))
        return future

    def submit_in_turn(
        self, inputs: Inputs, order: NDArray[np.int64], *, deadline: float = inf, guarded: bool = True
    ) -> "asyncio.Future[Outcome]":
        """Admit a request in the event loop that runs take turns with, where no thread is waited for.

        Arguments, result and errors are those of ``submit``, with a future of that event loop.
        """
        if self._event_loop is None:
            raise RuntimeError("runs have a thread of their own; use submit")
        future: asyncio.Future[Outcome] = self._event_loop.create_future()
        self._take(Request(inputs, order, deadline, time.perf_counter(), guarded, future))
        return future

    def _take(self, request: Request) -> None:
        with self._lock:
            if not self.ready:
                raise NotReadyError("the inference loop is not running; try again in a moment")
            if self.full:
                raise QueueFullError.of(self._max_in_flight)
            self._in_flight += 1
            request.future.add_done_callback(self._leave)
            self._arrivals.put(request)
            self._ask_for_a_turn()

    def close(self, seconds: float | None = None) -> None:
        """Stop admitting requests, finish those in flight, and stop the loop.

        Do not call it in the event loop that runs take turns with.

        Args:
            seconds: time to wait for the end: a run may hang. By default there is no limit.
        """
        with self._lock:
            self._closed = True
            self._arrivals.put(None)
            self._ask_for_a_turn()
        if self._thread is not None:
            self._thread.join(seconds)
        elif self._running and self._failure is None:
            self._stopped.wait(seconds)

    def _leave(self, _: object) -> None:
        with self._lock:
            self._in_flight -= 1

    def _loop(self) -> None:
        """Run the loop in its thread; wait for requests where there are none."""
        try:
            closing = False
            while not (closing and not self._active):
                closing = self._admit(closing, wait=not self._active and not closing)
                self._run()
        except Exception as error:
            self._fail(error)

    def _ask_for_a_turn(self) -> None:
        """Schedule a turn for the event loop's next round, with all arrivals until then."""
        loop = self._event_loop
        if loop is None or self._turn_is_due:
            return
        self._turn_is_due = True
        # Schedule it in the loop's own thread as well: a turn at once would let no other request
        # join the run.
        loop.call_soon_threadsafe(self._turn)

    def _turn(self) -> None:
        """Do as many runs as there is time for.

        A turn may take as long as the pause since the last turn, but no longer than
        ``_LONGEST_TURN``.
        """
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
        taken = self._active
        try:
            taken, lengths = self._batches.plan(self._active)
            self._batches.run(taken, lengths)
        except Exception as error:
            self._failures += 1
            if self._failures >= _MOST_FAILURES:
                raise
            self._give_up(taken, error)
        else:
            self._failures = 0
        self._stepping_since = None
        self._active = [request for request in self._active if not request.ended]

    def _give_up(self, taken: list[Request], error: Exception) -> None:
        """End the requests of a run that failed."""
        for request in taken:
            if not request.ended:
                request.fail(RunFailedError("the run that the image was part of failed; try again"))
        with contextlib.suppress(Exception):  # an observer that fails must not end the loop
            self._observer.run_failed(error)

    def _fail(self, error: Exception) -> None:
        with self._lock:
            self._failure, self._stepping_since = error, None
        while not self._arrivals.empty():
            with contextlib.suppress(Empty):
                arrival = self._arrivals.get_nowait()
                self._active.extend([arrival] if arrival is not None else [])
        left, self._active = self._active, []
        for request in left:
            request.fail(NotReadyError("the inference loop failed; the server needs a restart"))
        self._observer.failed(error)  # last, as it may fail too

    def _admit(self, closing: bool, *, wait: bool) -> bool:
        """Take the requests that have arrived, and return whether the loop is to end.

        Wait for a request only if ``wait`` is set.
        """
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
    """End the requests past their deadline, and return the others.

    A request that has been in a run ends undecided, another one without an answer.
    """
    now = time.perf_counter()
    for request in active:
        if request.deadline <= now:
            request.end(Decision.CONTINUE, now)
    return [request for request in active if not request.ended]
