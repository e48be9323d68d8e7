"""Cost of Redis to a request: while it answers, while it is slow, and when it freezes or dies."""

import asyncio
import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import uvloop

from benchmarks.figures import Figure
from benchmarks.load.connection import Connection
from benchmarks.load.plan import Plan
from benchmarks.load.report import Latencies
from benchmarks.rounds import Spread, in_rounds, ratio
from benchmarks.sections import Section, Table, held
from benchmarks.serving import over_http
from benchmarks.serving.engine_alone import IN_FLIGHT
from benchmarks.serving.redis_server import RedisError, RedisServer, slow_way_in_a_thread
from benchmarks.subjects import ServedStore
from evaluation.server import Server
from service.keys import key_file
from service.keys.api_keys import ApiKey, make_key

_PROMISED_MS = 100.0
_A_PHASE = 10
"""Requests sent one after the other in a phase; the first of them meet the fault."""

_SLOW_MS = (10.0, 20.0, 24.0, 50.0, 500.0)
_WITHOUT = "without Redis"
_UP = "guard_redis_up"
_WAIT_SECONDS = 20.0

_Verdict = tuple[int, str, int]
"""Label, verdict and mutants of an answer."""


@dataclass
class _Seen:
    """Answers seen: seconds by phase, and the numbers of wrong ones and of faults not told."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    wrong: int = 0
    not_200: int = 0
    answered: int = 0
    down_unseen: int = 0


def measure(
    subject: ServedStore, rounds: int, say: Callable[[str], None], *, seconds: float = 2.0
) -> list[Section]:
    """Freeze, slow and kill a Redis under a server that uses it for everything.

    Args:
        subject: store to serve.
        rounds: number of times that every fault is brought about, and that throughput is measured.
        say: callback that is told what is going on.
        seconds: time of each measurement of throughput.

    Raises:
        RedisError: there is no redis-server, or it does not start.
    """
    binary = shutil.which("redis-server")
    if binary is None:
        raise RedisError("redis-server is not installed (Debian: apt-get install redis-server)")
    with TemporaryDirectory() as directory:
        redis = RedisServer(binary, Path(directory))
        try:
            faults = _faults(subject, redis, Path(directory), rounds, say)
            redis.start()
            cost = _cost(subject, redis, rounds, seconds, say)
        finally:
            redis.kill()
    return [faults, cost]


def _faults(
    subject: ServedStore, redis: RedisServer, directory: Path, rounds: int, say: Callable[[str], None]
) -> Section:
    secret, digest = make_key()
    keys, now = directory / "keys.json", datetime.now(UTC)
    # The key has a rate, so that a request asks Redis as often as one ever does: rate, look-up,
    # keeping.
    key_file.add(keys, ApiKey(name="load", sha256=digest, requests_per_second=1e6, created=now))
    plan = Plan(1, "/classify", subject.bodies, 1, 1.0, api_key=secret)
    requests, seen = plan.requests(), _Seen()
    common = {"api_keys_file": str(keys), "review_sample": "0.1", "review_images": "true"}
    say(_WITHOUT)
    with over_http.ours(subject, **common) as server:
        right = _ask(server, requests, seen, _WITHOUT, None)
    turns = cycle(range(len(requests)))
    redis.start()
    with over_http.ours(subject, redis_url=redis.url, cache_seconds="300", **common) as server:
        for turn in range(rounds):
            say(f"freeze and kill, {turn + 1} of {rounds}")
            for name, begin, end in (
                ("Redis answers", None, None),
                ("Redis freezes", redis.freeze, redis.thaw),
                ("Redis is killed and restarted empty", redis.kill, redis.start),
            ):
                _until_up(server)
                if begin is not None:
                    begin()
                _phase(server, requests, right, turns, seen, name)
                seen.down_unseen += begin is not None and over_http.metric(server, _UP) != 0
                if end is not None:
                    end()
    with (
        slow_way_in_a_thread(redis.port) as way,
        over_http.ours(subject, redis_url=way.url, cache_seconds="300", **common) as server,
    ):
        for late in _SLOW_MS:
            say(f"Redis answers {late:g} ms late")
            for _ in range(rounds):
                way.seconds = 0.0
                _until_up(server)
                way.seconds = late / 1000
                _phase(server, requests, right, turns, seen, f"Redis answers {late:g} ms late")
    redis.kill()
    return _faults_section(subject, seen, rounds)


def _phase(
    server: Server,
    requests: list[bytes],
    right: list[_Verdict],
    turns: Iterator[int],
    seen: _Seen,
    name: str,
) -> None:
    numbers = [next(turns) for _ in range(_A_PHASE)]
    _ask(server, [requests[number] for number in numbers], seen, name, [right[number] for number in numbers])


def _ask(
    server: Server, requests: list[bytes], seen: _Seen, name: str, right: list[_Verdict] | None
) -> list[_Verdict]:
    """Ask one request after the other; note the time of each, and what is wrong."""
    found: list[_Verdict] = []

    async def all_of_them() -> None:
        connection = await Connection.to(server.port)
        for request in requests:
            started = time.perf_counter()
            answer = await connection.ask(request)
            seen.seconds.setdefault(name, []).append(time.perf_counter() - started)
            seen.answered += 1
            seen.not_200 += answer.status != httpx.codes.OK
            said = json.loads(answer.body)
            found.append((said.get("label"), said.get("verdict"), said.get("mutants")))
        connection.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(all_of_them())
    if right is not None:
        seen.wrong += sum(one != other for one, other in zip(found, right, strict=True))
    return found


def _until_up(server: Server) -> None:
    deadline = time.monotonic() + _WAIT_SECONDS
    while over_http.metric(server, _UP) != 1:
        if time.monotonic() > deadline:
            raise RedisError(f"the server did not find Redis again within {_WAIT_SECONDS:g} s")
        time.sleep(0.05)


def _faults_section(subject: ServedStore, seen: _Seen, rounds: int) -> Section:
    without = seen.seconds.pop(_WITHOUT)
    usual = Latencies.of(without)
    figures: list[Figure] = []
    rows = [_row(_WITHOUT, without, f"{1000 * (max(without) - usual.p50):.1f} ms")]
    for name, values in seen.seconds.items():
        added = 1000 * (max(values) - usual.p50)
        figure = Figure(f"redis_added_{_slug(name)}", added, "ms", _PROMISED_MS, at_most=True)
        rows.append(_row(name, values, held(figure)))
        figures.append(figure)
    checks = [
        Figure("redis_answers_not_200", seen.not_200, "", 0.0, at_most=True),
        Figure("redis_verdicts_wrong", seen.wrong, "", 0.0, at_most=True),
        Figure("redis_faults_not_told", seen.down_unseen, "", 0.0, at_most=True),
    ]
    notes = [
        f"Requests one after the other, {_A_PHASE} a phase, {rounds} times each; every one asks Redis three times "
        "(rate, look-up, keeping). Added: the slowest request less the median without Redis. Verdicts and mutants "
        "are compared with those of a server without Redis.",
        f"{seen.answered:,} answered; {held(checks[0])} not with 200; {held(checks[1])} with another verdict; "
        f"{held(checks[2])} faults that guard_redis_up did not tell.",
    ]
    columns = ["phase", "requests", "p50 ms", "p99 ms", "added at most"]
    title = f"{subject.store.name}: requests while Redis fails"
    return Section("Redis fails", [Table(title, columns, rows, notes)], figures + checks)


def _row(name: str, seconds: list[float], added: str) -> list[str]:
    of = Latencies.of(seconds)
    return [name, f"{len(seconds):,}", f"{1000 * of.p50:.2f}", f"{1000 * of.p99:.2f}", added]


def _cost(
    subject: ServedStore, redis: RedisServer, rounds: int, seconds: float, say: Callable[[str], None]
) -> Section:
    say("throughput with and without Redis, in turn")
    with (
        over_http.ours(subject) as alone,
        over_http.ours(subject, redis_url=redis.url, cache_seconds="0.001") as missing,
        over_http.ours(subject, redis_url=redis.url, cache_seconds="3600") as hitting,
    ):
        names = {"without": alone, "every look-up a miss": missing, "every look-up a hit": hitting}
        contenders = {
            name: over_http.contender(server, subject.bodies, IN_FLIGHT) for name, server in names.items()
        }
        found = in_rounds(contenders, rounds=min(rounds, 5), seconds=seconds, warm_up=seconds)
    rates = {name: Spread(tuple(one.rate for one in measured)) for name, measured in found.items()}
    figures, rows = [], []
    for name, rate in rates.items():
        shares = ratio(rate, rates["without"])
        figures.append(Figure(f"redis_throughput_{_slug(name)}", shares.median, "x"))
        rows.append([name, rate.shown(), shares.shown()])
    columns = ["Redis", "requests/s", "of without"]
    notes = [f"{IN_FLIGHT} connections; Redis, server and client share this machine's cores."]
    title = f"{subject.store.name}: throughput with Redis"
    return Section("Redis answers", [Table(title, columns, rows, notes)], figures)


def _slug(name: str) -> str:
    return name.lower().replace(" ", "_").replace("-", "_")
