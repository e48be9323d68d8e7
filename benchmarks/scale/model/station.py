"""Threads that do jobs one after the other."""

from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from math import expm1

from simpy import Environment, Event

from benchmarks.scale.model.cores import Cores

Steps = Callable[[], Generator[Event]]
"""Function that begins a job and yields what it waits for, until it is done."""


@dataclass(frozen=True)
class Wake:
    """What it takes a thread that sleeps until it begins a job.

    Attributes:
        work: seconds of processor time.
        delay: seconds that pass besides.
        cold: seconds of processor time more after a long sleep, when others have used the caches.
        cooling: seconds of sleep after which 63 % of that are due.
    """

    work: float = 0.0
    delay: float = 0.0
    cold: float = 0.0
    cooling: float = 1.0

    def after(self, sleep: float) -> float:
        """Return the seconds of processor time that a wake takes after a sleep of some seconds."""
        return self.work - self.cold * expm1(-sleep / self.cooling)


class Station:
    """Threads with one queue, first come, first served.

    Attributes:
        busy: seconds for which each of the threads was at a job, their sum.
    """

    def __init__(
        self, environment: Environment, cores: Cores, *, threads: int = 1, wake: Wake | None = None
    ) -> None:
        """Join a simulation.

        Args:
            environment: the simulation.
            cores: cores that the threads work on.
            threads: number of threads.
            wake: what it takes until a thread that sleeps begins; by default nothing.
        """
        self._environment, self._cores = environment, cores
        self._wake = wake or Wake()
        self._queue: deque[tuple[float | Steps, Event]] = deque()
        self._sleeping: deque[Event] = deque()
        self.busy = 0.0
        for _ in range(threads):
            environment.process(self._serve())

    def do(self, job: float | Steps) -> Event:
        """Put a job in the queue; return the event of its end.

        Args:
            job: seconds of processor time, or steps where these are not known before it begins.
        """
        done = self._environment.event()
        self._queue.append((job, done))
        if self._sleeping:
            self._sleeping.popleft().succeed()
        return done

    def _serve(self) -> Generator[Event]:
        while True:
            extra = 0.0
            if not self._queue:
                called, fell_asleep = self._environment.event(), self._environment.now
                self._sleeping.append(called)
                yield called
                extra = self._wake.after(self._environment.now - fell_asleep)
                if self._wake.delay:
                    yield self._environment.timeout(self._wake.delay)
                if not self._queue:  # another thread was faster
                    continue
            job, done = self._queue.popleft()
            began = self._environment.now
            if callable(job):
                if extra:
                    yield self._cores.work(extra)
                yield from job()
            elif job + extra > 0:
                yield self._cores.work(job + extra)
            self.busy += self._environment.now - began
            yield done.succeed()  # who waited for it may have the next job, before the thread would sleep
