"""Processor cores: work takes as long as it needs, or longer where cores are shared."""

from collections import deque
from typing import Protocol

from simpy import Environment, Event

SLICE = 2.8e-3
"""Seconds for which a thread works on while others wait for its core (of Linux' 0.7 to 3 ms)."""


class Cores(Protocol):
    """Cores on which threads work."""

    def work(self, seconds: float) -> Event:
        """Begin work of some seconds of processor time; return the event of its end."""


class OwnCores:
    """A core for every thread."""

    def __init__(self, environment: Environment) -> None:
        """Join a simulation."""
        self._environment = environment

    def work(self, seconds: float) -> Event:
        """Begin work, as ``Cores`` says."""
        return self._environment.timeout(seconds)


class SharedCores:
    """Some cores for all threads, each with a queue.

    A thread that wakes takes the core where the fewest others are, an idle one if there is one. It
    works until it is done or its slice is over, and goes on at the end of a queue, as Linux'
    scheduler has it (EEVDF: Stoica, Abdel-Wahab, 1995; a thread runs on until its slice has passed).
    """

    def __init__(self, environment: Environment, count: int) -> None:
        """Join a simulation.

        Args:
            environment: the simulation.
            count: number of cores.
        """
        self._environment = environment
        # The first of a queue is at work: what is left of its work, and the event of its end.
        self._queues: list[deque[tuple[float, Event]]] = [deque() for _ in range(count)]

    def work(self, seconds: float) -> Event:
        """Begin work, as ``Cores`` says."""
        done = self._environment.event()
        self._place(seconds, done)
        return done

    def _place(self, left: float, done: Event) -> None:
        queue = min(self._queues, key=len)
        queue.append((left, done))
        if len(queue) == 1:
            self._begin(queue)

    def _begin(self, queue: deque[tuple[float, Event]]) -> None:
        slice_over = self._environment.timeout(min(queue[0][0], SLICE))
        slice_over.callbacks.append(lambda _: self._end(queue))

    def _end(self, queue: deque[tuple[float, Event]]) -> None:
        left, done = queue.popleft()
        if queue:
            self._begin(queue)
        if left > SLICE:
            self._place(left - SLICE, done)
        else:
            done.succeed()
