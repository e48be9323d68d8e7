"""Cluster: client, proxy, replicas and Redis, and the way of a request through them."""

import itertools
import random
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field

from simpy import Environment, Event

from benchmarks.scale.model.choice import CHOICES
from benchmarks.scale.model.cores import Cores, OwnCores, SharedCores
from benchmarks.scale.model.engine import Engine, Path
from benchmarks.scale.model.station import Station, Wake
from benchmarks.scale.service_times import RedisCalls, ServiceTimes

MAX_IN_FLIGHT = 256
"""Requests that a replica admits (``GUARD_MAX_IN_FLIGHT``)."""
_REDIS_CONNECTIONS = 16
_DECODE_THREADS = 2


@dataclass(frozen=True)
class Arrangement:
    """What stands where.

    Attributes:
        replicas: number of replicas.
        balance: how the proxy chooses among them, by haproxy's name for it.
        proxy: whether there is a proxy.
        proxy_threads: number of its threads.
        cores: cores that everything shares, the client too; None where every thread has its own
            and the client costs nothing.
        redis: calls to a Redis, None for none.
    """

    replicas: int = 1
    balance: str = "roundrobin"
    proxy: bool = True
    proxy_threads: int = 2
    cores: int | None = None
    redis: RedisCalls | None = None


@dataclass
class Outcome:
    """What came of the requests.

    Attributes:
        latencies: seconds of each that was answered, in the order of the answers.
        refused: number that were refused because their replica was full.
        seconds: length of the simulation.
        busy: share of the time for which a replica's event loop was at work, and so its engine
            where it takes turns; the mean over replicas.
    """

    latencies: list[float] = field(default_factory=list)
    refused: int = 0
    seconds: float = 0.0
    busy: float = 0.0


class _Replica:
    """Process with an event loop in one thread, and an engine."""

    def __init__(self, environment: Environment, cores: Cores, times: ServiceTimes) -> None:
        self._times = times
        self.in_flight = 0
        self.loop = Station(environment, cores, wake=times.http.waking(times.hop))
        handover = Wake(delay=times.hop)
        thread = self.loop if times.takes_turns else Station(environment, cores, wake=handover)
        self.engine = Engine(environment, cores, times.run, times.limits, thread)
        self.decoders = Station(environment, cores, threads=_DECODE_THREADS, wake=handover)


class Cluster:
    """One simulation of an arrangement under a load.

    Nothing in it is drawn at random but the arrivals that it is given. Images come in turn.
    """

    def __init__(self, times: ServiceTimes, arrangement: Arrangement) -> None:
        """Set up an arrangement.

        Args:
            times: measured service times.
            arrangement: what stands where.
        """
        self._times, self._arrangement = times, arrangement
        self._environment = environment = Environment()
        shared = arrangement.cores
        cores: Cores = OwnCores(environment) if shared is None else SharedCores(environment, shared)
        self._paths = itertools.cycle(times.paths)
        self._client = None
        if shared is not None:
            self._client = Station(environment, cores, wake=times.client.waking(times.hop))
        self._proxy = None
        if arrangement.proxy:
            self._proxy = Station(
                environment,
                cores,
                threads=arrangement.proxy_threads,
                wake=times.proxy.waking(times.hop),
            )
        self._choose = CHOICES[arrangement.balance]()
        self._replicas = [_Replica(environment, cores, times) for _ in range(arrangement.replicas)]
        self._redis = Station(environment, cores) if arrangement.redis is not None else None
        self._outcome = Outcome()

    def open(self, arrivals: Iterable[float], *, warm_up: float = 0.0) -> Outcome:
        """Send requests at given times, and return what came of them when all are answered.

        Args:
            arrivals: times in seconds, ascending.
            warm_up: seconds at the start whose requests do not count.
        """
        self._environment.process(self._arrive(arrivals, warm_up))
        self._environment.run()
        return self._result()

    def closed(self, users: int, seconds: float) -> Outcome:
        """Have users send their next request when the one before is answered."""
        for _ in range(users):
            self._environment.process(self._use(seconds))
        self._environment.run(until=seconds)
        return self._result()

    def _result(self) -> Outcome:
        outcome = self._outcome
        outcome.seconds = self._environment.now
        busy = sum(replica.loop.busy for replica in self._replicas)
        outcome.busy = busy / len(self._replicas) / max(outcome.seconds, 1e-12)
        return outcome

    def _arrive(self, arrivals: Iterable[float], warm_up: float) -> Generator[Event]:
        for time in arrivals:
            if time > self._environment.now:
                yield self._environment.timeout(time - self._environment.now)
            self._environment.process(self._request(counts=time >= warm_up))

    def _use(self, seconds: float) -> Generator[Event]:
        while self._environment.now < seconds:
            yield from self._request(counts=True)

    def _request(self, *, counts: bool) -> Generator[Event]:
        times, began, path = self._times, self._environment.now, next(self._paths)
        if self._client is not None:
            yield self._client.do(times.client.work / 2)
        if self._proxy is not None:
            yield self._proxy.do(times.proxy.work / 2)
        replica = self._replicas[self._choose([replica.in_flight for replica in self._replicas])]
        replica.in_flight += 1
        refused = replica.in_flight > MAX_IN_FLIGHT
        yield from self._refuse(replica) if refused else self._answer(replica, path)
        replica.in_flight -= 1
        if self._proxy is not None:
            yield self._proxy.do(times.proxy.work / 2)
        if self._client is not None:
            yield self._client.do(times.client.work / 2)
        if counts and refused:
            self._outcome.refused += 1
        elif counts:
            self._outcome.latencies.append(self._environment.now - began)

    def _refuse(self, replica: _Replica) -> Generator[Event]:
        yield replica.loop.do(self._times.http.work / 2)

    def _answer(self, replica: _Replica, path: Path) -> Generator[Event]:
        """Take a request through a replica: half of the event loop's work, the test, the other half."""
        times, calls = self._times, self._arrangement.redis
        yield replica.loop.do(times.http.work / 2)
        if times.decode:
            yield replica.decoders.do(times.decode)
        if calls is not None:
            yield from self._ask_redis(replica, calls, calls.before)
        yield replica.engine.test(path)
        if calls is not None:
            yield from self._ask_redis(replica, calls, calls.after)
        yield replica.loop.do(times.http.work / 2)

    def _ask_redis(self, replica: _Replica, calls: RedisCalls, count: int) -> Generator[Event]:
        for _ in range(count):
            yield self._environment.timeout(calls.round_trip)
            if self._redis is not None:
                yield self._redis.do(calls.seconds)
            yield replica.loop.do(calls.loop_seconds)


def poisson(rate: float, count: int, seed: int, *, burst: int = 1) -> Sequence[float]:
    """Draw times of arrivals at random.

    Args:
        rate: requests a second.
        count: number of requests.
        seed: seed of the draws.
        burst: requests that come at once, every time that any come.
    """
    draws = random.Random(seed)  # noqa: S311 - a simulation, no secret
    now, found = 0.0, list[float]()
    while len(found) < count:
        now += draws.expovariate(rate / burst)
        found += [now] * burst
    return found[:count]
