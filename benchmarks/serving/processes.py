"""A server of several processes beside one of a single process."""

from collections.abc import Callable
from contextlib import ExitStack

from benchmarks.figures import Figure
from benchmarks.load.plan import Plan
from benchmarks.load.process import run_load
from benchmarks.rounds import Contender, Measured, Spread, in_rounds, ratio
from benchmarks.sections import Section, Table, held
from benchmarks.serving import over_http
from benchmarks.serving.engine_alone import IN_FLIGHT
from benchmarks.serving.vitals import processor_seconds
from benchmarks.subjects import ServedStore
from evaluation.server import Server

_ROUNDS, _SECONDS, _WARM_UP = 9, 3.0, 1.0
_QUICK_ROUNDS, _QUICK_SECONDS, _QUICK_WARM_UP = 2, 1.0, 0.5
_TARGET = 1.5
"""Least ratio of two processes to one on two cores, which the client shares with them."""


def measure(subject: ServedStore, number: int, quick: bool, say: Callable[[str], None]) -> Section:
    """Measure both servers in turn, and the cores that they and the client take.

    Args:
        subject: store to serve.
        number: processes of the server that has several.
        quick: whether rounds are few and short.
        say: callback that is told what is going on.

    Raises:
        NotServedError: a server failed under load.
    """
    contenders: dict[str, Contender] = {}
    cores: dict[str, list[tuple[float, float]]] = {}
    with ExitStack() as stack:
        for processes in (1, number):
            name = f"{processes}"
            say(f"{subject.store.name}: starting a server of {processes}")
            server = stack.enter_context(over_http.ours(subject, processes=name))
            contenders[name] = _contender(server, subject, cores.setdefault(name, []))
        say(f"{subject.store.name}: measuring them in turn")
        if quick:
            measured = in_rounds(contenders, _QUICK_ROUNDS, _QUICK_SECONDS, warm_up=_QUICK_WARM_UP)
        else:
            measured = in_rounds(contenders, _ROUNDS, _SECONDS, warm_up=_WARM_UP)
    rows = []
    for name, found in measured.items():
        servers, clients = (Spread(tuple(one[who] for one in cores[name][1:])) for who in (0, 1))
        p50, p99 = (Spread(tuple(getattr(one, what) for one in found)) for what in ("p50", "p99"))
        rate = Spread(tuple(one.rate for one in found))
        work = ratio(servers, rate), ratio(clients, rate)
        rows.append(
            [
                name,
                rate.shown(),
                p50.shown(1000),
                p99.shown(1000),
                *(each.shown() for each in (servers, clients)),
                *(each.shown(1000) for each in work),
            ]
        )
    several, one = (Spread(tuple(m.rate for m in measured[name])) for name in (f"{number}", "1"))
    gain = ratio(several, one)
    least = _TARGET if number == 2 else None
    figure = Figure(f"processes_{subject.key}_{number}_to_1", gain.median, "x", least)
    notes = [
        f"{number} ÷ 1: {gain.shown()}, {held(figure)}. {IN_FLIGHT} connections. The client is a process of its own on "
        "the same cores: what it takes of them is not there for the servers. Processor time an answer hardly depends "
        "on what else the machine does."
    ]
    heads = [
        "processes",
        "answers/s",
        "p50 ms",
        "p99 ms",
        "cores: server",
        "client",
        "ms an answer: server",
        "client",
    ]
    title = f"{subject.store.name}: several processes on one port"
    return Section("Processes", [Table(title, heads, rows, notes)], [figure])


def _contender(server: Server, subject: ServedStore, cores: list[tuple[float, float]]) -> Contender:
    """Return a contender that also notes the cores which server and client took."""

    def measured(seconds: float) -> Measured:
        plan = Plan(server.port, "/classify", subject.bodies, IN_FLIGHT, seconds)
        before = processor_seconds(server.process.pid)
        report = run_load(plan)
        spent = processor_seconds(server.process.pid) - before
        over_http.check(report, server.url)
        cores.append((spent / report.took, report.processor / report.took))
        latencies = report.latencies[200]
        return Measured(report.throughput, latencies.p50, latencies.p99)

    return measured
