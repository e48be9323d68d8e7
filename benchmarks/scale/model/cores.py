"""Processor cores: work takes as long as it needs, or longer where cores are shared."""

import itertools
from heapq import heappop, heappush
from typing import Protocol

from simpy import Environment, Event


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
    """Some cores for all threads: those that work share them equally, none has more than one.

    It is processor sharing, which the scheduler of an operating system comes near to.
    """

    def __init__(self, environment: Environment, count: int) -> None:
        """Join a simulation.

        Args:
            environment: the simulation.
            count: number of cores.
        """
        self._environment, self._count = environment, count
        # Work ends when every thread that is at work has been given this much processor time.
        self._ends: list[tuple[float, int, Event]] = []
        self._given, self._at = 0.0, environment.now
        self._numbers = itertools.count()
        self._alarm: Event | None = None

    def work(self, seconds: float) -> Event:
        """Begin work, as ``Cores`` says."""
        self._advance()
        done = self._environment.event()
        heappush(self._ends, (self._given + seconds, next(self._numbers), done))
        self._set_alarm()
        return done

    @property
    def _speed(self) -> float:
        return min(1.0, self._count / len(self._ends)) if self._ends else 1.0

    def _advance(self) -> None:
        now = self._environment.now
        self._given += (now - self._at) * self._speed
        self._at = now

    def _set_alarm(self) -> None:
        if not self._ends:
            self._alarm = None
            return
        self._alarm = self._environment.timeout(max(0.0, self._ends[0][0] - self._given) / self._speed)
        self._alarm.callbacks.append(self._goes_off)

    def _goes_off(self, alarm: Event) -> None:
        if alarm is not self._alarm:  # the number of threads at work has changed since
            return
        # It was set for the first end: time that is too short for a float must not be waited for.
        self._given, self._at = self._ends[0][0], self._environment.now
        while self._ends and self._ends[0][0] <= self._given:
            heappop(self._ends)[2].succeed()
        self._set_alarm()
