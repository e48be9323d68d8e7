"""Service times of real servers, from the processor time that requests take idle and under load."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load.plan import Plan
from benchmarks.load.process import run_load
from benchmarks.load.report import Report
from benchmarks.scale.engine_times import EngineTimes
from benchmarks.scale.proxy import proxy
from benchmarks.scale.service_times import ServiceTimes, Work
from benchmarks.serving.over_http import check
from benchmarks.serving.vitals import processor_seconds
from benchmarks.subjects import POLICY, ServedStore
from evaluation.server import ORDER_KEY, Server, free_port, serving

BUSY = 32
"""Requests under way where a server has as much to do as it can."""

_TURNS, _NO_TURNS = "1000", "0.001"
"""Milliseconds of a run up to which it takes turns with the event loop: always, and never."""
_PATH = "/classify"
_SPARSE = 0.2
"""Share of the rate under load at which most requests find all processes asleep."""
_SPARSE_CONNECTIONS = 32


@dataclass(frozen=True)
class Served:
    """Store that is served, and how.

    Attributes:
        path: directory of the store.
        name: name of the store.
        bodies: encoded images.
        content_type: their content type.
    """

    path: Path
    name: str
    bodies: Sequence[bytes]
    content_type: str

    @classmethod
    def of(cls, subject: ServedStore) -> "Served":
        """Return a store with images, as it is served."""
        return cls(subject.path, subject.store.name, subject.bodies, subject.content_type)

    def plan(
        self,
        port: int,
        seconds: float,
        *,
        connections: int,
        rate: float | None = None,
        seed: int | None = None,
        api_key: str | None = None,
    ) -> Plan:
        """Return a load of a server on a port."""
        return Plan(
            port,
            _PATH,
            self.bodies,
            connections,
            seconds,
            rate=rate,
            seed=seed,
            content_type=self.content_type,
            api_key=api_key,
        )


@dataclass(frozen=True)
class Replica:
    """Running replica, with the port of its probes."""

    server: Server
    probe_port: int


@dataclass(frozen=True)
class Load:
    """One load, and what it took.

    Attributes:
        report: what the client says of it.
        spent: processor seconds of an answer, for each process that was watched.
    """

    report: Report
    spent: list[float]

    @property
    def client(self) -> float:
        """Processor seconds of the client for an answer."""
        return self.report.processor / self.report.ok

    @property
    def cycle(self) -> float:
        """Seconds between two answers."""
        return 1 / self.report.throughput


@contextmanager
def replicas(served: Served, engine: EngineTimes, count: int, **settings: str) -> Iterator[list[Replica]]:
    """Run replicas with one thread for their engine, and without a cache unless the settings say so.

    What a replica measures of its engine when it starts is set to what was measured of it here, so
    that all of them do the same.

    Args:
        served: store and images.
        engine: its engine, which says whether runs take turns with the event loop.
        count: number of replicas.
        settings: further GUARD_ settings by lower-case name.
    """
    fixed = {
        "order_key": ORDER_KEY,
        "cache_seconds": "0",
        "log_format": "json",
        "drain_seconds": "0",
        "threads": "1",
        "inline_ms": _TURNS if engine.takes_turns else _NO_TURNS,
        "max_batch_rows": str(engine.limits.rows),
        "batch_rows": str(engine.limits.fill),
    }
    with ExitStack() as stack:
        found = []
        for _ in range(count):
            probe_port = free_port()
            own = fixed | {"probe_port": str(probe_port)} | settings
            server = stack.enter_context(serving(served.path, policy=POLICY, **own))
            found.append(Replica(server, probe_port))
        yield found


@contextmanager
def proxied(served: Served, engine: EngineTimes, count: int) -> Iterator[tuple[Server, list[Replica]]]:
    """Run replicas and the proxy in front of them."""
    with (
        replicas(served, engine, count) as found,
        proxy([(replica.server.port, replica.probe_port) for replica in found]) as front,
    ):
        yield front, found


def loaded(plan: Plan, watched: Sequence[int], what: str) -> Load:
    """Run a load and say what it took.

    Args:
        plan: the load.
        watched: process ids whose processor time is measured.
        what: name of the server, for an error.

    Raises:
        NotServedError: a request was not answered with 200.
    """
    before = [processor_seconds(pid) for pid in watched]
    report = run_load(plan)
    check(report, what)
    spent = [(processor_seconds(pid) - then) / report.ok for pid, then in zip(watched, before, strict=True)]
    return Load(report, spent)


@dataclass(frozen=True)
class Calibration:
    """What was measured with one replica, and of several that share the machine.

    Attributes:
        alone: one request at a time, through the proxy; watched are the proxy and the replica.
        busy: many, through the proxy; watched are both.
        direct: many, without the proxy; watched is the replica.
        sparse: a request now and then, through the proxy; watched are the proxy and all replicas.
    """

    alone: Load
    busy: Load
    direct: Load
    sparse: Load


def calibrate(served: Served, engine: EngineTimes, seconds: float) -> Calibration:
    """Load one replica with a request at a time, with many and with few, each for some seconds.

    Raises:
        NotServedError: a request was not answered with 200.
    """
    with proxied(served, engine, 1) as (front, (replica,)):
        pids = [front.process.pid, replica.server.process.pid]
        port = replica.server.port
        for connections in (1, BUSY):  # warms up
            run_load(served.plan(front.port, seconds / 4, connections=connections))
        busy = loaded(served.plan(front.port, seconds, connections=BUSY), pids, front.url)
        return Calibration(
            loaded(served.plan(front.port, seconds, connections=1), pids, front.url),
            busy,
            loaded(served.plan(port, seconds, connections=BUSY), pids[1:], replica.server.url),
            now_and_then(served, front, [replica], busy.report.throughput, seconds),
        )


def now_and_then(
    served: Served, front: Server, found: Sequence[Replica], throughput: float, seconds: float
) -> Load:
    """Load replicas with a request now and then, for twice some seconds.

    Args:
        served: store and images.
        front: the proxy in front of them.
        found: the replicas.
        throughput: answers a second under load.
        seconds: half the length of the load.

    Raises:
        NotServedError: a request was not answered with 200.
    """
    rate = _SPARSE * throughput
    plan = served.plan(front.port, 2 * seconds, connections=_SPARSE_CONNECTIONS, rate=rate, seed=0)
    watched = [front.process.pid, *(replica.server.process.pid for replica in found)]
    return loaded(plan, watched, front.url)


def service_times(name: str, engine: EngineTimes, found: Calibration) -> ServiceTimes:
    """Return the service times that loads show.

    Under load a process has always more to do: what a request takes then is its work. Alone, one
    of many in a row, it wakes every process: what it takes more is the wake. What is left of a lone
    request's time is that of the hops. Where requests come now and then, at random, caches have
    cooled: what they take more is half of what a cold wake takes more, since that is how the time
    for cooling is set.

    Args:
        name: name of the store.
        engine: the engine of the store.
        found: the loads.
    """
    alone, busy, direct, sparse = found.alone, found.busy, found.direct, found.sparse
    handovers = (not engine.takes_turns) + engine.decodes_aside
    decode = engine.decode if engine.decodes_aside else 0.0
    http = max(0.0, direct.spent[0] - engine.seconds(BUSY) - decode)
    lone = engine.seconds(1) + decode + http
    between, sharing = sparse.cycle, len(sparse.spent) - 1
    idle = max(0.0, alone.cycle - alone.client - sum(alone.spent))
    return ServiceTimes(
        name=name,
        client=_work(busy.client, busy.client, alone.client, sparse.client, 1, between),
        proxy=_work(busy.spent[0], busy.spent[0], alone.spent[0], sparse.spent[0], 2, between),
        http=_work(http, lone, alone.spent[1], sum(sparse.spent[1:]), 1 + handovers, sharing * between),
        decode=decode,
        hop=idle / (4 + 2 * handovers),
        takes_turns=engine.takes_turns,
        run=engine.run,
        limits=engine.limits,
        paths=engine.paths,
    )


def _work(work: float, least: float, alone: float, sparse: float, wakes: int, between: float) -> Work:
    """Return work with its wakes, from what requests take above the least in processor seconds.

    Args:
        work: seconds of a request while the process has more to do.
        least: seconds of a request by itself that wakes nothing.
        alone: seconds of one of many in a row.
        sparse: seconds of one that comes now and then.
        wakes: number of times that a request wakes the process.
        between: mean seconds between requests that come now and then.
    """
    wake = max(0.0, alone - least) / wakes
    return Work(work, wake, 2 * max(0.0, (sparse - least) / wakes - wake), between)
