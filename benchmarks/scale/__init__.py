"""How many replicas large rates take, by a simulation that is held to real servers."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import httpx

from benchmarks.scale import engine_times, plot, redis_cost, sizing, tables, validation
from benchmarks.scale.calibration import Calibration, Served, calibrate, replicas, service_times
from benchmarks.scale.engine_times import EngineTimes
from benchmarks.scale.measured import Measured
from benchmarks.scale.sizing import Assumptions
from benchmarks.sections import Section
from benchmarks.subjects import POLICY, ServedStore
from mutant_guard.store.reader import load_store

PICTURE = "scale.png"
STORES = (Path("stores/mnist-lenet"), Path("stores/cifar10-resnet20"))
"""Stores of small images whose service times are measured."""

_SECONDS, _QUICK_SECONDS = 4.0, 1.0
_ENGINE_SECONDS, _QUICK_ENGINE_SECONDS = 10.0, 3.0


def measure(
    stores: Sequence[Path],
    data: Path,
    work: Path,
    quick: bool,
    say: Callable[[str], None],
) -> tuple[list[Measured], Section]:
    """Measure service times, and hold the simulation of a few replicas to real ones.

    Args:
        stores: directories of stores of small images; EfficientNet-Lite0 comes on top.
        data: folder with ``mnist``, ``cifar10`` and ``imagenet-samples``.
        work: folder of the store of EfficientNet-Lite0, which is built where it is not there.
        quick: whether loads are short.
        say: callback that is told what is going on.

    Returns:
        What was measured, and the section of the comparison.

    Raises:
        GuardError: a store, its data, haproxy or redis-server is missing, or a server failed.
    """
    found, figures, compared = [], [], []
    small = [Served.of(ServedStore.of(path, data)) for path in stores]
    for served in [*small, Served.of(ServedStore.efficientnet(data, work, say))]:
        say(f"{served.name}: measuring its engine")
        engine = engine_times.measure(
            served.path, served.bodies, _QUICK_ENGINE_SECONDS if quick else _ENGINE_SECONDS
        )
        seconds = _QUICK_SECONDS if quick else _SECONDS
        say(f"{served.name}: measuring a replica and the proxy")
        calibration = calibrate(served, engine, seconds)
        one = _measured(served, engine, calibration, served is small[0], seconds, say)
        found.append(one)
        if served in small:
            table, held = validation.table(
                served.name, validation.compare(served, engine, calibration, quick, say)
            )
            compared.append(table)
            figures += held
    return found, Section("The simulation beside real servers", [tables.service(found), *compared], figures)


def _measured(
    served: Served,
    engine: EngineTimes,
    calibration: Calibration,
    redis: bool,
    seconds: float,
    say: Callable[[str], None],
) -> Measured:
    with replicas(served, engine, 1) as (replica,):
        answer = httpx.post(
            f"{replica.server.url}/classify",
            content=served.bodies[0],
            headers={"Content-Type": served.content_type},
            trust_env=False,
        )
        requests = served.plan(replica.server.port, seconds, connections=1).requests()
    record = load_store(served.path).calibration.policies[POLICY]
    return Measured(
        times=service_times(served.name, engine, calibration),
        replica=calibration.direct.spent[0],
        proxy=calibration.busy.spent[0],
        request_bytes=sum(map(len, requests)) / len(requests),
        answer_bytes=len(answer.content)
        + sum(len(key) + len(value) + 4 for key, value in answer.headers.raw),
        alarms=record.baseline(undecided=False).rate,
        redis=redis_cost.measure(served, engine, seconds, say) if redis else [],
    )


def extrapolate(
    measured: Sequence[Measured], assumptions: Assumptions, quick: bool, say: Callable[[str], None]
) -> Section:
    """Simulate groups of replicas on cores of their own, and work out what large rates take.

    Args:
        measured: what was measured of each store.
        assumptions: what is not measured.
        quick: whether few requests are simulated.
        say: callback that is told what is going on.
    """
    found = {one.name: sizing.simulate(one.times, assumptions, quick, say) for one in measured}
    by_store = [tables.utilisation(name, sizes, assumptions) for name, sizes in found.items()]
    # A call costs Redis the same whatever the store, and is measured with one of them.
    calls = next((one.redis for one in measured if one.redis), [])
    alike = [replace(one, redis=calls) for one in measured]
    rates, rate_figures = tables.sizes(alike, found, assumptions)
    costs, cost_figures = tables.costs(alike, found, assumptions)
    every = [
        *(table for table, _ in by_store),
        rates,
        tables.limits(alike, found, assumptions),
        tables.redis(measured, assumptions, quick),
        tables.review(alike),
        costs,
    ]
    figures = [figure for _, held in by_store for figure in held] + rate_figures + cost_figures
    return Section("Scale", every, figures, {PICTURE: plot.draw(found, assumptions.p99_ms)})
