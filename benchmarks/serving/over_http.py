"""Servers that stay up while they are measured in turn."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.load.plan import Plan
from benchmarks.load.process import run_load
from benchmarks.load.report import Report
from benchmarks.rounds import Contender, Measured
from benchmarks.subjects import POLICY, ServedStore
from evaluation.server import ORDER_KEY, Server, free_port, serving, started
from mutant_guard.errors import GuardError

_ROOT = Path(__file__).parents[2]
_START_SECONDS = 300.0
_INFERENCE = "guard_inference_seconds_total"


class NotServedError(GuardError):
    """Error for a server that did not answer what was measured; there is no figure then."""


@contextmanager
def ours(subject: ServedStore, **settings: str) -> Iterator[Server]:
    """Run ``mutant-guard serve`` without its cache: benchmarks post the same images again.

    It ends without draining.

    Args:
        subject: store to serve.
        settings: further GUARD_ settings by lower-case name.
    """
    fixed = {"order_key": ORDER_KEY, "cache_seconds": "0", "allow_guard_off": "true", "log_format": "json"}
    with serving(subject.path, policy=POLICY, **fixed | {"drain_seconds": "0"} | settings) as server:
        yield server


@contextmanager
def alternative(subject: ServedStore, kind: str, *, policy: str, threads: int) -> Iterator[Server]:
    """Run a server of ``benchmarks.alternatives``."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.alternatives", kind, "--store", str(subject.path.resolve())]
    command += [
        "--weights",
        str(subject.weights),
        "--policy",
        policy,
        "--threads",
        str(threads),
        "--port",
        str(port),
    ]
    with started(command, port, within=_START_SECONDS, cwd=_ROOT) as server:
        yield server


def contender(
    server: Server,
    bodies: Sequence[bytes],
    connections: int,
    path: str = "/classify",
    content_type: str = "image/png",
    *,
    least: float = 0.0,
) -> Contender:
    """Return a contender that measures a server by a closed loop.

    It goes on with the images where the round before stopped. Between its turns the server is
    paused: some servers poll, and would take time from the one that is measured.

    Args:
        server: server to measure.
        bodies: bodies to post.
        connections: number of connections.
        path: path that bodies are posted to.
        content_type: content type of the bodies.
        least: least seconds of a measurement, for servers that answer only a few times in a round.
    """
    turn = 0

    def measure(seconds: float) -> Measured:
        nonlocal turn
        start = turn % len(bodies)
        plan = Plan(
            server.port,
            path,
            [*bodies[start:], *bodies[:start]],
            connections,
            max(seconds, least),
            content_type=content_type,
        )
        server.resume()
        before = metric(server, _INFERENCE)
        report = run_load(plan)
        after = metric(server, _INFERENCE)
        server.pause()
        check(report, f"{server.url}{path}")
        turn += report.answered
        spent = None if before is None or after is None else (after - before) / report.took
        latencies = report.latencies[httpx.codes.OK]
        return Measured(report.throughput, latencies.p50, latencies.p99, spent)

    return measure


def check(report: Report, what: str) -> None:
    """Check that a load was answered with 200 throughout.

    Raises:
        NotServedError: it was not.
    """
    if report.lost or report.refused or report.answered != report.ok or not report.throughput:
        raise NotServedError(
            f"{what} was not answered with 200 throughout: {report.statuses}, {report.lost} lost, "
            f"{report.refused} refused {report.reasons}"
        )


def metric(server: Server, name: str) -> float | None:
    """Return a sample of ``/metrics`` that has no labels, or None from a server without it."""
    answer = httpx.get(f"{server.url}/metrics", trust_env=False)
    if answer.status_code != httpx.codes.OK:
        return None
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            if sample.name == name:
                return sample.value
    return None
