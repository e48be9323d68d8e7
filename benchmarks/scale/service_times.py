"""Service times that a simulation is fed with."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.scale.model.engine import RunLimits, RunTimes
from benchmarks.scale.model.station import Wake


@dataclass(frozen=True)
class Work:
    """Processor seconds of one request in one process, the sum of all its visits.

    Attributes:
        work: seconds while the process has more to do.
        wake: seconds besides, for each time that a request finds it asleep.
        cold: seconds more of a wake after a long sleep.
        cooling: seconds of sleep after which 63 % of that are due.
    """

    work: float
    wake: float = 0.0
    cold: float = 0.0
    cooling: float = 1.0

    def waking(self, delay: float) -> Wake:
        """Return what it takes the process to wake, with seconds of delay."""
        return Wake(self.wake, delay, self.cold, self.cooling)


@dataclass(frozen=True)
class RedisCalls:
    """Calls to Redis of one request, one after the other.

    Attributes:
        before: number before the test.
        after: number after it.
        seconds: processor seconds of Redis for a call.
        loop_seconds: those of the replica's event loop for a call.
        round_trip: seconds that a call's way there and back takes.
    """

    before: int
    after: int
    seconds: float
    loop_seconds: float
    round_trip: float = 0.0


@dataclass(frozen=True)
class ServiceTimes:
    """All that a simulation knows of a store and of the machine.

    Attributes:
        name: name of the store.
        client: load client.
        proxy: haproxy.
        http: event loop of a replica, its engine left out.
        decode: processor seconds in which a thread decodes an image; 0 where the event loop does.
        hop: seconds from a message to a process that sleeps until it begins.
        takes_turns: whether runs take turns with the event loop.
        run: how long runs take.
        limits: what bounds them.
        paths: for every measured image, the mutants that it needs next by the number met.
    """

    name: str
    client: Work
    proxy: Work
    http: Work
    decode: float
    hop: float
    takes_turns: bool
    run: RunTimes
    limits: RunLimits
    paths: Sequence[Sequence[int]]
