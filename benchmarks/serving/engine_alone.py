"""Images a second without a server: the inference loop with requests in flight, and sessions.

The sessions are one a mutant.
"""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager

from benchmarks.alternatives.one_by_one import OneByOne
from benchmarks.alternatives.sessions import one_session_each
from benchmarks.subjects import POLICY, ServedStore
from evaluation.server import ORDER_KEY
from mutant_guard.guard import Guard
from mutant_guard.runtime.scheduling.outcome import Outcome

IN_FLIGHT = 32

Rate = Callable[[float], float]
"""Function that returns images a second, measured over a number of seconds."""


@contextmanager
def engine(subject: ServedStore) -> Iterator[Rate]:
    """Run the server's inference loop, always with ``IN_FLIGHT`` requests in flight."""
    guard = Guard(subject.path, policy=POLICY, order_key=ORDER_KEY)
    scheduler, turn = guard.models.default.scheduler, itertools.cycle(subject.requests)

    def rate(seconds: float) -> float:
        done, ended = itertools.count(), threading.Semaphore(0)
        started = time.perf_counter()
        until = started + seconds
        failures: list[BaseException] = []

        def on_end(future: "Future[Outcome]") -> None:
            # This runs in the thread of the loop: the next request is there before its next step,
            # and no other thread is woken.
            if (failure := future.exception()) is not None:
                failures.append(failure)
            next(done)
            if failures or time.perf_counter() >= until:
                ended.release()
            else:
                scheduler.submit(*next(turn)).add_done_callback(on_end)

        for _ in range(IN_FLIGHT):
            scheduler.submit(*next(turn)).add_done_callback(on_end)
        for _ in range(IN_FLIGHT):
            ended.acquire()
        if failures:
            raise failures[0]
        return next(done) / (time.perf_counter() - started)

    guard.start()
    try:
        yield rate
    finally:
        scheduler.close()


@contextmanager
def sessions(subject: ServedStore, threads: int) -> Iterator[Rate]:
    """Open a session a mutant, of this many threads, that judges one image at a time."""
    store, turn = subject.store, itertools.cycle(subject.requests)
    judge = OneByOne(store.policy(POLICY), subject.order, store.manifest, one_session_each(store, threads))

    def rate(seconds: float) -> float:
        done, started = 0, time.perf_counter()
        while time.perf_counter() < started + seconds:
            judge.test(*next(turn))
            done += 1
        return done / (time.perf_counter() - started)

    yield rate
