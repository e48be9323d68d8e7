"""Simulation beside real servers: the same arrivals at both, behind the real haproxy."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from benchmarks.figures import Figure, milliseconds
from benchmarks.load.report import Latencies
from benchmarks.scale.calibration import (
    BUSY,
    Calibration,
    Served,
    loaded,
    now_and_then,
    proxied,
    service_times,
)
from benchmarks.scale.engine_times import EngineTimes
from benchmarks.scale.model.cluster import Arrangement, Cluster
from benchmarks.scale.proxy import Deployed
from benchmarks.scale.service_times import ServiceTimes
from benchmarks.sections import Table, held
from mutant_guard.bank.cores import available_cores

REPLICAS = (1, 3)
SHARES = (0.3, 0.5, 0.7, 0.85)
"""Shares of the measured rate under load that requests are sent at."""

_REQUESTS, _QUICK_REQUESTS = 2000, 200
_LEAST_SECONDS, _MOST_SECONDS = 4.0, 12.0
_QUICK_SECONDS = 1.0
_CONNECTIONS = 400
"""Most connections of the client: the proxy takes 512 from one address."""
_OFF = 20.0
"""Per cent by which the simulation may be off."""


@dataclass(frozen=True)
class Compared:
    """One load, measured and simulated.

    Attributes:
        replicas: number of replicas.
        share: share of the rate under load.
        rate: requests a second.
        measured: latencies at real servers, from when requests were due.
        simulated: the same in the simulation.
    """

    replicas: int
    share: float
    rate: float
    measured: Latencies
    simulated: Latencies

    def off(self, quantile: str) -> float:
        """Return by how many per cent the simulation is off, the sign left out."""
        return 100 * abs(self.ratio(quantile) - 1)

    def ratio(self, quantile: str) -> float:
        """Return a simulated quantile (``p50`` or ``p99``) over the measured one."""
        return float(getattr(self.simulated, quantile) / getattr(self.measured, quantile))


def compare(
    served: Served, engine: EngineTimes, found: Calibration, quick: bool, say: Callable[[str], None]
) -> list[Compared]:
    """Load replicas behind the proxy at some rates, and simulate the same.

    What it takes to wake is measured with as many replicas, since they share caches.

    Args:
        served: store and images.
        engine: its engine.
        found: what was measured with one replica.
        quick: whether loads are short.
        say: callback that is told what is going on.

    Raises:
        NotServedError: a request was not answered with 200.
    """
    compared = []
    for count in REPLICAS:
        say(f"{served.name}: {count} behind the proxy, measured and simulated")
        with proxied(served, engine, count) as (front, running):
            seconds = _QUICK_SECONDS if quick else _LEAST_SECONDS
            loaded(served.plan(front.port, seconds / 2, connections=count * BUSY), [], front.url)  # warms up
            full = loaded(served.plan(front.port, seconds, connections=count * BUSY), [], front.url)
            sparse = now_and_then(served, front, running, full.report.throughput, seconds)
            times = service_times(served.name, engine, replace(found, sparse=sparse))
            for share in SHARES:
                rate = share * full.report.throughput
                wanted = (_QUICK_REQUESTS if quick else _REQUESTS) / rate
                plan = served.plan(
                    front.port,
                    min(max(wanted, seconds), _MOST_SECONDS),
                    connections=_CONNECTIONS,
                    rate=rate,
                    seed=round(100 * share),
                )
                report = loaded(plan, [], front.url).report
                compared.append(
                    Compared(count, share, rate, report.latencies[200], simulated(times, count, plan.dues()))
                )
    return compared


def simulated(times: ServiceTimes, replicas: int, arrivals: Sequence[float]) -> Latencies:
    """Simulate client, proxy and replicas that share the cores of this machine."""
    deployed = Deployed.read()
    arrangement = Arrangement(
        replicas=replicas,
        balance=deployed.balance,
        proxy_threads=deployed.threads,
        cores=available_cores(),
    )
    return Latencies.of(Cluster(times, arrangement).open(arrivals).latencies)


def table(name: str, compared: Sequence[Compared]) -> tuple[Table, list[Figure]]:
    """Return a table of all that was compared, and the largest error for each number of replicas."""
    rows = [
        [
            f"{found.replicas}, {found.share:.0%} of its rate under load",
            f"{found.rate:,.0f}",
            f"{found.measured.count:,}",
            *(
                cell
                for quantile in ("p50", "p99")
                for cell in (
                    milliseconds(getattr(found.measured, quantile)),
                    milliseconds(getattr(found.simulated, quantile)),
                    f"{found.ratio(quantile):.2f}",
                )
            ),
        ]
        for found in compared
    ]
    key = name.replace("-", "_")
    figures = [
        Figure(
            f"scale_{key}_{replicas}_{quantile}_off",
            max(found.off(quantile) for found in compared if found.replicas == replicas),
            "%",
            _OFF,
            at_most=True,
        )
        for replicas in sorted({found.replicas for found in compared})
        for quantile in ("p50", "p99")
    ]
    notes = [
        "Requests come at random (Poisson), at the same times at real servers and in the simulation, and latencies "
        "count from when they were due. Client, proxy and replicas share the cores of this machine, and so they do in "
        "the simulation. Ratio: simulated ÷ measured.",
        *(f"`{figure.name}`, the largest error: {held(figure)}" for figure in figures),
    ]
    head = ["replicas", "requests a second", "requests"]
    for quantile in ("p50", "p99"):
        head += [f"{quantile} measured, ms", "simulated", "ratio"]
    return Table(f"{name}: the simulation beside real servers", head, rows, notes), figures
