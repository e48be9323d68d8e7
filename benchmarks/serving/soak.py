"""Half of the server's capacity, for a long time, while the store is loaded anew repeatedly."""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from benchmarks.figures import Figure, megabytes, milliseconds
from benchmarks.load.plan import Plan
from benchmarks.load.process import LoadProcess
from benchmarks.load.report import Latencies, Report
from benchmarks.sections import Section, Table, held
from benchmarks.serving import over_http
from benchmarks.serving.overload import CAPACITY_SECONDS, capacity
from benchmarks.serving.vitals import resident
from benchmarks.subjects import ServedStore
from evaluation.server import Server
from mutant_guard.store.reader import load_store
from mutant_store.calibrating.recalibrate import recalibrate
from mutant_store.cli.console import BuildReport
from mutant_store.publishing.housekeeping import use_version
from service.keys import key_file
from service.keys.api_keys import ApiKey, Role, make_key

_SHARE = 0.5
_CONNECTIONS = 256
_SAMPLE_SECONDS = 5.0
_GROWTH = 5.0
_IN_FLIGHT = "guard_requests_in_flight"
_SETTLING = 5.0
"""Seconds within which what is in flight at the end must be answered."""


@dataclass
class _Watched:
    """Observations: seconds since the start and bytes, and the outcome of each load."""

    memory: list[tuple[float, int]] = field(default_factory=list)
    loads: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    versions: set[str] = field(default_factory=set)


def measure(
    subject: ServedStore,
    seconds: float,
    say: Callable[[str], None],
    *,
    every: float = 30.0,
    settled: float = 60.0,
    to_measure: float = CAPACITY_SECONDS,
) -> Section:
    """Keep the load up.

    Args:
        subject: a store with its recordings, and images; the store is copied.
        seconds: time during which requests are sent.
        say: callback that is told what is going on.
        every: seconds between two loads of the store, each of the other one of two versions.
        settled: seconds after which memory is not to grow any more.
        to_measure: seconds of each of the runs that measure the capacity.
    """
    with TemporaryDirectory() as folder:
        say("publishing a second version in a copy of the store")
        copy, versions = two_versions(subject, Path(folder))
        keys = Path(folder) / "keys.json"
        client, admin = _key(keys, "client", Role.CLIENT), _key(keys, "admin", Role.ADMIN)
        with over_http.ours(copy, api_keys_file=str(keys)) as server:
            say("measuring the capacity")
            rate = _SHARE * capacity(server, copy, to_measure, client)
            say(f"sending {rate:,.0f} requests a second for {seconds / 60:g} minutes")
            plan = Plan(
                server.port,
                "/classify",
                copy.bodies,
                _CONNECTIONS,
                seconds,
                rate=rate,
                api_key=client,
            )
            watched = _Watched()
            load = LoadProcess(plan)
            started, turn = time.monotonic(), 0
            while load.running:
                time.sleep(min(_SAMPLE_SECONDS, every / 4))
                passed = time.monotonic() - started
                watched.memory.append((passed, resident(server.process.pid)))
                if passed >= (turn + 1) * every and passed < seconds:
                    turn += 1
                    use_version(copy.path, versions[turn % 2])
                    _load_store(server, copy, admin, versions[turn % 2], watched)
            report = load.result()
            in_flight = _settled(server)
            watched.memory.append((time.monotonic() - started, resident(server.process.pid)))
    return _section(subject, seconds, settled, report, watched, in_flight)


def two_versions(subject: ServedStore, folder: Path) -> tuple[ServedStore, list[str]]:
    """Copy a store, add a version with another calibration, and return the names of both versions.

    Raises:
        StoreError: the store has no recordings to calibrate from.
    """
    path = folder / subject.path.resolve().name
    shutil.copytree(subject.path, path)
    first = subject.store.version
    target = subject.store.calibration.settings.max_false_alarm
    with BuildReport() as report:
        second = recalibrate(path, report, max_false_alarm=1.1 * target).version
    use_version(path, first)
    return ServedStore(path, load_store(path), subject.images), [first, second]


def _key(path: Path, name: str, role: Role) -> str:
    secret, digest = make_key()
    key_file.add(path, ApiKey(name=name, sha256=digest, role=role, created=datetime.now(UTC)))
    return secret


def _load_store(server: Server, subject: ServedStore, admin: str, version: str, watched: _Watched) -> None:
    """Have the server take up the version that is current now; a failure is only noted."""
    started = time.monotonic()
    try:
        answer = httpx.post(
            f"{server.url}/v2/repository/models/{subject.store.name}/load",
            headers={"Authorization": f"Bearer {admin}"},
            timeout=60,
            trust_env=False,
        )
    except httpx.TransportError as error:
        watched.failures.append(f"load of the store: {error}")
        return
    watched.loads.append(time.monotonic() - started)
    served = answer.json().get("version") if answer.status_code == httpx.codes.OK else None
    if served == version:
        watched.versions.add(version)
    else:
        watched.failures.append(f"load of {version} answered {answer.status_code}: {answer.text[:200]}")


def _settled(server: Server) -> float:
    """Return the number of requests in flight, when all should be answered.

    Raises:
        NotServedError: the server does not report it.
    """
    until = time.monotonic() + _SETTLING
    while True:
        found = over_http.metric(server, _IN_FLIGHT)
        if found is None:
            raise over_http.NotServedError(f"{server.url}/metrics has no {_IN_FLIGHT}")
        if found == 0 or time.monotonic() >= until:
            return found
        time.sleep(0.1)


def _section(
    subject: ServedStore, seconds: float, settled: float, report: Report, watched: _Watched, in_flight: float
) -> Section:
    errors = report.answered - report.ok + report.lost + report.refused + report.unsent
    before = next((size for at, size in watched.memory if at >= settled), watched.memory[0][1])
    after = watched.memory[-1][1]
    latencies = report.latencies.get(httpx.codes.OK)
    figures = [
        Figure("soak_answers_200", report.ok, "", 1.0),
        Figure("soak_errors", errors, "", 0.0, at_most=True),
        Figure("soak_loads", len(watched.loads), "", 1.0),
        Figure("soak_loads_failed", len(watched.failures), "", 0.0, at_most=True),
        Figure("soak_memory_growth", 100 * (after / before - 1), "%", _GROWTH, at_most=True),
        Figure("soak_in_flight_afterwards", in_flight, "", 0.0, at_most=True),
    ]
    rows = [
        ["answers 200", f"{report.ok:,}"],
        ["other answers, lost, refused or never sent", held(figures[1])],
        ["p50 / p99 / max ms", _times(latencies)],
        ["requests left late, p99 ms", milliseconds(report.lag.p99)],
        ["loads of the store, versions served", f"{len(watched.loads)}, {len(watched.versions)}"],
        ["longest load, ms", milliseconds(max(watched.loads, default=0.0))],
        ["loads that failed", held(figures[3])],
        [f"resident MB after {settled:g} s and at the end", f"{megabytes(before)}, {megabytes(after)}"],
        ["at most", megabytes(max(size for _, size in watched.memory))],
        ["growth", held(figures[4])],
        ["in flight afterwards", held(figures[5])],
    ]
    notes = [
        "Every load of the store takes up the other one of two versions, which mutant-store use has made current.",
        *(f"{count:,} × {reason}" for reason, count in report.reasons.items()),
        *(
            f"status {status}: {count:,}"
            for status, count in report.statuses.items()
            if status != httpx.codes.OK
        ),
        *watched.failures,
    ]
    title = f"{subject.store.name}: {_SHARE:.0%} of its capacity for {seconds / 60:g} minutes"
    return Section("Soak", [Table(title, ["", ""], rows, notes)], figures)


def _times(latencies: Latencies | None) -> str:
    if latencies is None:
        return ""
    return " / ".join(milliseconds(value) for value in (latencies.p50, latencies.p99, latencies.max))
