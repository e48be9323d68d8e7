"""SIGTERM under load: every request sent is answered, and the process ends with status 0."""

import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from benchmarks.figures import Figure
from benchmarks.load.plan import Plan, Watch
from benchmarks.load.process import LoadProcess
from benchmarks.load.report import Report
from benchmarks.sections import Section, Table, held
from benchmarks.serving import over_http
from benchmarks.serving.engine_alone import IN_FLIGHT
from benchmarks.subjects import ServedStore
from service.settings import Settings

_BEFORE = 1.0
"""Seconds of load before the signal."""

_LONGEST = 60.0
"""Seconds after the signal by which the process must have ended."""

_KILLED = 1000
"""Exit status that stands for a process that had to be killed."""


@dataclass(frozen=True)
class Ending:
    """End of one server.

    Attributes:
        report: outcome of the requests.
        status: exit status of the process.
        seconds: time from the signal to the end of the process.
    """

    report: Report
    status: int
    seconds: float


def measure(
    subject: ServedStore, times: int, say: Callable[[str], None], *, before: float = _BEFORE
) -> Section:
    """Start, load and end a server a number of times.

    Args:
        subject: store to serve.
        times: number of endings.
        say: callback that is told what is going on.
        before: seconds of load before the signal.
    """
    endings = []
    for turn in range(times):
        say(f"SIGTERM under load, {turn + 1} of {times}")
        endings.append(_ended(subject, before))
    return _section(subject, endings)


def _ended(subject: ServedStore, before: float) -> Ending:
    drain = Settings.model_fields["drain_seconds"].default
    with over_http.ours(subject, drain_seconds=str(drain)) as server:
        plan = Plan(
            server.port,
            "/classify",
            subject.bodies,
            IN_FLIGHT,
            before + _LONGEST,
            fresh=IN_FLIGHT // 2,
            watch=Watch(),
        )
        load = LoadProcess(plan)
        time.sleep(before)
        started = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        try:
            status = server.process.wait(_LONGEST)
        except subprocess.TimeoutExpired:
            status = _KILLED
        took = time.monotonic() - started
    return Ending(load.result(), status, took)


def _section(subject: ServedStore, endings: list[Ending]) -> Section:
    reports = [ending.report for ending in endings]
    statuses: Counter[int] = sum((Counter(report.statuses) for report in reports), Counter())
    lost, refused = sum(report.lost for report in reports), sum(report.refused for report in reports)
    others = sum(count for status, count in statuses.items() if status != 200)
    seconds = [ending.seconds for ending in endings]
    figures = [
        Figure("drain_endings_under_load", sum(report.ok > 0 for report in reports), "", len(endings)),
        Figure("drain_lost", lost + refused, "", 0.0, at_most=True),
        Figure("drain_not_200", others, "", 0.0, at_most=True),
        Figure("drain_exit_not_0", sum(ending.status != 0 for ending in endings), "", 0.0, at_most=True),
        Figure("drain_longest", 1000 * max(seconds), "ms", 1000 * _LONGEST, at_most=True),
    ]
    noticed = [report.stopped_after for report in reports if report.stopped_after is not None]
    rows = [
        ["requests answered 200", f"{statuses[200]:,}"],
        ["sent and not answered, or connections refused", held(figures[1])],
        ["answered with another status", held(figures[2])],
        ["ended with another status than 0", held(figures[3])],
        ["seconds from the signal to the end, median", f"{median(seconds):.2f}"],
        ["at most", held(figures[4])],
        ["ends that the client noticed by /readyz", f"{len(noticed)} of {len(endings)}"],
    ]
    reasons = sum((Counter(report.reasons) for report in reports), Counter[str]())
    notes = [
        f"{IN_FLIGHT} connections, half of them opened anew for every request. Like a load balancer the client asks "
        "/readyz all the time and sends nothing more once it fails; until then every request sent must be answered and "
        "every connection taken.",
        *(f"{count:,} × {reason}" for reason, count in reasons.items()),
    ]
    title = f"{subject.store.name}: SIGTERM under load, {len(endings)} times"
    return Section("Drain", [Table(title, ["", ""], rows, notes)], figures)
