"""Four times the load that the server can take: it answers or refuses, in time.

It also stays within its memory.
"""

import time
from collections.abc import Callable
from statistics import median

import httpx

from benchmarks.figures import Figure, megabytes, milliseconds
from benchmarks.load.plan import Plan
from benchmarks.load.process import LoadProcess, run_load
from benchmarks.load.report import Report
from benchmarks.sections import Section, Table, held
from benchmarks.serving import over_http
from benchmarks.serving.engine_alone import IN_FLIGHT
from benchmarks.serving.vitals import PATHS, Probes, resident
from benchmarks.subjects import ServedStore
from evaluation.server import Server, free_port
from service.settings import Settings

TIMES = 4.0
CAPACITY_SECONDS = 3.0

_OFFERED = 4.1
"""Multiple of the capacity that is offered.

It is a little more than ``TIMES``, so that ``TIMES`` is reached.
"""

_CONNECTIONS = 1024
_CAPACITY_RUNS = 3
_SAMPLES = 6
_LATE = "Requests left late: all connections waited for answers, or the client was slow."
_PROBE_MS = 50.0
_GROWTH = 5.0
_TAKEN = (httpx.codes.OK, httpx.codes.TOO_MANY_REQUESTS)


def measure(
    subject: ServedStore, seconds: float, say: Callable[[str], None], *, to_measure: float = CAPACITY_SECONDS
) -> Section:
    """Offer four times the capacity.

    Args:
        subject: store to serve.
        seconds: time during which the load is offered.
        say: callback that is told what is going on.
        to_measure: seconds of each of the runs that measure the capacity.

    Raises:
        NotServedError: the server failed already when its capacity was measured.
    """
    probe_port = free_port()
    with over_http.ours(subject, probe_port=str(probe_port)) as server:
        say("measuring the capacity")
        rate = capacity(server, subject, to_measure)
        say(f"offering {_OFFERED:g} × {rate:,.0f} requests a second for {seconds:g} s")
        plan = Plan(server.port, "/classify", subject.bodies, _CONNECTIONS, seconds, rate=_OFFERED * rate)
        memory = [resident(server.process.pid)]
        load = LoadProcess(plan)
        with Probes(server.port) as beside, Probes(probe_port) as probes:
            while load.running:
                time.sleep(seconds / _SAMPLES)
                memory.append(resident(server.process.pid))
        report = load.result()
    return _section(subject, rate, seconds, report, memory, probes, beside)


def capacity(server: Server, subject: ServedStore, seconds: float, api_key: str | None = None) -> float:
    """Return the answers a second of a closed loop, the median of some runs.

    Args:
        server: server to measure.
        subject: store that it serves.
        seconds: time of a run.
        api_key: key sent with every request, if any.

    Raises:
        NotServedError: the server does not answer with 200 throughout.
    """
    found = []
    for _ in range(_CAPACITY_RUNS):
        plan = Plan(server.port, "/classify", subject.bodies, IN_FLIGHT, seconds, api_key=api_key)
        report = run_load(plan)
        over_http.check(report, server.url)
        found.append(report.throughput)
    return median(found)


def _section(
    subject: ServedStore,
    rate: float,
    seconds: float,
    report: Report,
    memory: list[int],
    probes: Probes,
    beside: Probes,
) -> Section:
    """Make the section; ``probes`` have a port of their own, ``beside`` the port of the load."""
    others = report.answered - sum(report.statuses.get(status, 0) for status in _TAKEN)
    deadline = Settings.model_fields["deadline_seconds"].default
    due = report.latencies[httpx.codes.OK].p99 if report.ok else 0.0
    growth = 100 * (memory[-1] / memory[min(1, len(memory) - 1)] - 1)
    goodput = Figure("overload_goodput", 100 * report.throughput / rate, "%")
    figures = [
        Figure("overload_offered", report.lag.count / seconds / rate, "x", TIMES),
        Figure("overload_answers_200", report.ok, "", 1.0),
        Figure("overload_neither_200_nor_429", others, "", 0.0, at_most=True),
        Figure("overload_lost", report.lost + report.refused, "", 0.0, at_most=True),
        Figure("overload_p99_of_200", 1000 * report.waits.p99, "ms", 1000 * deadline, at_most=True),
        Figure("overload_memory_growth", growth, "%", _GROWTH, at_most=True),
        goodput,
        Figure(
            "overload_probes_failed", sum((probes.failures + beside.failures).values()), "", 0.0, at_most=True
        ),
        *(
            Figure(
                f"overload_{path[1:]}_p99", 1000 * probes.latencies(path).p99, "ms", _PROBE_MS, at_most=True
            )
            for path in PATHS
        ),
    ]
    rows = [
        ["capacity, answers a second", f"{rate:,.0f}"],
        ["offered, of the capacity", held(figures[0])],
        *([f"answers {status}", f"{count:,}"] for status, count in report.statuses.items()),
        ["neither 200 nor 429", held(figures[2])],
        ["sent and not answered, or connections refused", held(figures[3])],
        ["due and never sent", f"{report.unsent:,}"],
        ["answers 200 a second meanwhile", f"{report.throughput:,.0f} ({held(goodput)} of the capacity)"],
        ["p99 of the answers 200 from when they left, against the deadline", held(figures[4])],
        ["the same from when they were due, ms", milliseconds(due)],
        ["requests left late, p99 ms", milliseconds(report.lag.p99)],
        [
            f"resident MB, every {seconds / _SAMPLES:g} s",
            ", ".join(map(megabytes, memory)),
        ],
        ["growth after the first of these", held(figures[5])],
        ["probes not answered with 200", held(figures[7])],
    ]
    for path, figure in zip(PATHS, figures[-len(PATHS) :], strict=True):
        rows.append([f"{path} on the probes' port, ms", f"{_spread(probes, path)}: {held(figure)}"])
    rows += [[f"{path} on the port of the load, ms", _spread(beside, path)] for path in PATHS]
    notes = [
        "Requests are due at fixed times whether or not earlier ones are answered. "
        f"At most {_CONNECTIONS} connections: where all of them wait for answers, further requests leave late. "
        "Client, probes and server share the machine.",
        *([] if report.kept_up else [_LATE]),
        *(
            f"{count:,} × {reason}"
            for reason, count in (report.reasons | (probes.failures + beside.failures)).items()
        ),
    ]
    return Section(
        "Overload", [Table(f"{subject.store.name}: {TIMES:g} × capacity", ["", ""], rows, notes)], figures
    )


def _spread(probes: Probes, path: str) -> str:
    found = probes.latencies(path)
    p50, p99, most = (milliseconds(seconds) for seconds in (found.p50, found.p99, found.max))
    return f"p50 {p50}, p99 {p99}, max {most} of {found.count:,}"
