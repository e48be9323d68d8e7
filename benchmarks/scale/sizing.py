"""Replicas, proxies, shards of Redis and networks that a rate takes, by simulation and arithmetic."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import ceil
from statistics import fmean

from benchmarks.load.report import Latencies
from benchmarks.scale.measured import Measured
from benchmarks.scale.model.choice import CHOICES
from benchmarks.scale.model.cluster import Arrangement, Cluster, poisson
from benchmarks.scale.proxy import Deployed
from benchmarks.scale.redis_cost import RedisCost
from benchmarks.scale.service_times import ServiceTimes

RATES = (10_000, 100_000, 1_000_000)
UTILISATIONS = (0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95)
GROUP = 8
"""Replicas of the simulated group behind one proxy."""
BURST = 8
"""Requests that come at once in the simulation of bursts."""
FULL = 0.6
"""Share of what a proxy, a Redis or a network could take that it is given."""
BITS = 8
_USERS = 64
_REQUESTS, _QUICK_REQUESTS = 15_000, 2_000
_CAPACITY_ANSWERS = 2_000


@dataclass(frozen=True)
class Assumptions:
    """What is not measured, and the reader replaces.

    Attributes:
        p99_ms: milliseconds that 99 of a hundred requests are to be answered in.
        domains: failure domains that replicas are spread over, 2 or more; one of them may fail.
        core_hour: price of a core for an hour.
        gbit: gigabits a second of a machine's network.
        round_trip_ms: milliseconds to a Redis on another machine and back.
    """

    p99_ms: float = 100.0
    domains: int = 3
    core_hour: float = 0.04
    gbit: float = 10.0
    round_trip_ms: float = 0.2


@dataclass(frozen=True)
class Load:
    """One utilisation of the group, simulated.

    Attributes:
        utilisation: share of the capacity that is asked for.
        latencies: latencies by the balance of the proxy.
        bursts: latencies where requests come in bursts, with the deployed balance.
        refused: number of requests that were refused, of all of these.
    """

    utilisation: float
    latencies: dict[str, Latencies]
    bursts: Latencies
    refused: int


@dataclass(frozen=True)
class Sizes:
    """How much a replica is given, and what that means.

    Attributes:
        capacity: requests a second of a replica that always has work.
        loads: the group at every utilisation.
        best: highest utilisation at which the objective is kept; 0 where it never is.
    """

    capacity: float
    loads: list[Load]
    best: float


@dataclass(frozen=True)
class Needs:
    """What a rate takes.

    Attributes:
        replicas: number of replicas, with those of a failure domain to spare.
        cores: cores that they have.
        proxies: number of proxies.
        proxies_by: what the number of proxies is for: ``processor`` or ``replicas``.
        redis: calls a second, for verdicts.
        shards: number of Redis servers for them.
        gbit: gigabits a second of requests and answers, once.
    """

    replicas: int
    cores: int
    proxies: int
    proxies_by: str
    redis: float
    shards: int
    gbit: float


def capacity(times: ServiceTimes, arrangement: Arrangement) -> float:
    """Return the requests a second of a group in which every replica always has work."""
    users = _USERS * arrangement.replicas
    guess = times.http.work + times.run.seconds(1, 1, round(fmean(map(len, times.paths))))
    seconds = _CAPACITY_ANSWERS * guess / arrangement.replicas
    while True:
        found = Cluster(times, arrangement).closed(users, seconds)
        if len(found.latencies) >= _CAPACITY_ANSWERS:
            return len(found.latencies) / found.seconds
        seconds *= 2 * _CAPACITY_ANSWERS / max(len(found.latencies), _CAPACITY_ANSWERS / 8)


def simulate(times: ServiceTimes, assumptions: Assumptions, quick: bool, say: Callable[[str], None]) -> Sizes:
    """Simulate a group of replicas at every utilisation, each of their threads on a core of its own.

    Args:
        times: service times.
        assumptions: the objective.
        quick: whether few requests are simulated.
        say: callback that is told what is going on.
    """
    say(f"{times.name}: simulating {GROUP} replicas")
    deployed = Deployed.read()
    group = Arrangement(replicas=GROUP, proxy_threads=deployed.threads, balance=deployed.balance)
    own = capacity(times, replace(group, replicas=1, proxy=False))
    count = _QUICK_REQUESTS if quick else _REQUESTS
    loads = []
    for utilisation in UTILISATIONS:
        rate = utilisation * own * GROUP
        arrivals = poisson(rate, count, seed=0)
        found = {balance: _run(times, replace(group, balance=balance), arrivals) for balance in CHOICES}
        bursts = _run(times, group, poisson(rate, count, seed=0, burst=BURST))
        refused = sum(number for _, number in [*found.values(), bursts])
        loads.append(Load(utilisation, {key: part for key, (part, _) in found.items()}, bursts[0], refused))
    kept = [
        load.utilisation
        for load in loads
        if 1000 * load.latencies[deployed.balance].p99 <= assumptions.p99_ms and not load.refused
    ]
    return Sizes(own, loads, max(kept, default=0.0))


def with_redis(
    measured: Measured, cost: RedisCost, assumptions: Assumptions, quick: bool
) -> tuple[float, Latencies]:
    """Simulate a group that uses a Redis, which is no bottleneck for so few.

    Args:
        measured: what was measured of the store.
        cost: cost of the use.
        assumptions: the time to Redis and back.
        quick: whether few requests are simulated.

    Returns:
        Requests a second of a replica that always has work, and latencies at ``FULL`` of that.
    """
    deployed = Deployed.read()
    calls = cost.calls(measured.replica, assumptions.round_trip_ms / 1000)
    group = Arrangement(GROUP, deployed.balance, proxy_threads=deployed.threads, redis=calls)
    own = capacity(measured.times, replace(group, replicas=1, proxy=False))
    arrivals = poisson(FULL * own * GROUP, _QUICK_REQUESTS if quick else _REQUESTS, seed=0)
    return own, _run(measured.times, group, arrivals)[0]


def needs(measured: Measured, sizes: Sizes, rate: float, assumptions: Assumptions) -> Needs:
    """Return what a rate takes.

    Raises:
        ValueError: the objective is kept at no utilisation.
    """
    if not sizes.best:
        raise ValueError(f"{measured.name}: no utilisation keeps a p99 of {assumptions.p99_ms:g} ms")
    deployed = Deployed.read()
    enough = ceil(rate / (sizes.best * sizes.capacity))
    replicas = ceil(enough * assumptions.domains / (assumptions.domains - 1))
    by_processor = ceil(rate * measured.proxy / (deployed.threads * FULL))
    by_replicas = ceil(replicas / deployed.replicas)
    calls = next(iter(measured.redis), None)  # that of verdicts alone
    return Needs(
        replicas=replicas,
        cores=replicas * cores(measured),
        proxies=max(by_processor, by_replicas),
        proxies_by="processor" if by_processor > by_replicas else "replicas",
        redis=rate * (calls.before + calls.after) if calls else 0.0,
        shards=ceil(rate * calls.redis / FULL) if calls else 0,
        gbit=rate * (measured.request_bytes + measured.answer_bytes) * BITS / 1e9,
    )


def cores(measured: Measured) -> int:
    """Return the cores of a replica: one for its event loop, and one for an engine that has its own."""
    return 1 if measured.times.takes_turns else 2


def _run(times: ServiceTimes, arrangement: Arrangement, arrivals: Sequence[float]) -> tuple[Latencies, int]:
    found = Cluster(times, arrangement).open(arrivals, warm_up=arrivals[len(arrivals) // 10])
    return Latencies.of(found.latencies), found.refused
