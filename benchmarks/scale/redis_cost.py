"""What a real redis-server and its callers take for a request."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from redis import Redis

from benchmarks.load.process import run_load
from benchmarks.scale.calibration import BUSY, Served, loaded, replicas
from benchmarks.scale.engine_times import EngineTimes
from benchmarks.scale.service_times import RedisCalls
from benchmarks.serving.redis_server import RedisError, RedisServer
from service.keys import key_file
from service.keys.api_keys import ApiKey, Role, make_key

_PATIENCE_MS = "1000"
"""Milliseconds for a call: a replica that gives Redis up for slow would make none."""
_RATE = 1e6
"""Requests a second of the key: more than come, so that none is refused."""


@dataclass(frozen=True)
class Use:
    """Use that is made of Redis.

    Attributes:
        name: what it is.
        before: calls of a request before its test.
        after: calls after it.
        settings: settings of the server, by lower-case name.
        keyed: whether requests have a key with a rate.
        entries: whether the cost is that of an entry of the review queue, and not of a request.
    """

    name: str
    before: int
    after: int
    settings: dict[str, str]
    keyed: bool = False
    entries: bool = False


# A verdict is kept for a millisecond: every request looks one up in vain, and puts one there.
_CACHE = {"cache_seconds": "0.001", "review_entries": "0"}
_QUERIES = {"query_memory": "observe", "query_seconds": "1"}
REVIEW = Use("review queue, an entry", 0, 0, {"cache_seconds": "0"}, entries=True)
USES = (
    Use("verdicts", 1, 1, _CACHE),
    Use("verdicts, rates of keys", 2, 1, _CACHE, keyed=True),
    Use("verdicts, rates of keys, queries", 3, 1, _CACHE | _QUERIES, keyed=True),
    REVIEW,
)


@dataclass(frozen=True)
class RedisCost:
    """Cost of a use.

    Attributes:
        name: name of the use.
        before: calls of a request before its test.
        after: calls after it.
        redis: processor seconds of Redis for a request, or for an entry.
        replica: processor seconds of a replica for a request, under load.
        bytes: bytes to Redis and back, for the same.
        rate: answers a second of a replica under load.
    """

    name: str
    before: int
    after: int
    redis: float
    replica: float
    bytes: float
    rate: float

    def calls(self, without: float, round_trip: float) -> RedisCalls:
        """Return the calls of a request for a simulation.

        Args:
            without: processor seconds of a replica for a request without Redis.
            round_trip: seconds that a call's way there and back takes.
        """
        count = self.before + self.after
        more = max(0.0, self.replica - without) / count
        return RedisCalls(self.before, self.after, self.redis / count, more, round_trip)


def measure(
    served: Served, engine: EngineTimes, seconds: float, say: Callable[[str], None]
) -> list[RedisCost]:
    """Load a replica for each use that it makes of Redis.

    Args:
        served: store and images.
        engine: its engine.
        seconds: length of each load.
        say: callback that is told what is going on.

    Raises:
        RedisError: there is no redis-server, or it does not start.
        NotServedError: a request was not answered with 200.
    """
    found = []
    for use in USES:
        say(f"{served.name}: a redis-server for {use.name}")
        with _redis() as server, TemporaryDirectory() as folder, Redis.from_url(server.url) as redis:
            secret, settings = None, {"redis_timeout_ms": _PATIENCE_MS} | use.settings
            if use.keyed:
                keys = Path(folder) / "keys.json"
                secret = _key(keys)
                settings["api_keys_file"] = str(keys)
            with replicas(served, engine, 1, redis_url=server.url, **settings) as (replica,):
                plan = served.plan(replica.server.port, seconds, connections=BUSY, api_key=secret)
                run_load(plan)  # warms up
                before = _spent(redis)
                load = loaded(plan, [replica.server.process.pid], replica.server.url)
                took, size, scripts = (now - then for now, then in zip(_spent(redis), before, strict=True))
            times = scripts if use.entries else load.report.ok
            found.append(
                RedisCost(
                    name=use.name,
                    before=use.before,
                    after=use.after,
                    redis=took / max(1, times),
                    replica=load.spent[0],
                    bytes=size / max(1, times),
                    rate=load.report.throughput,
                )
            )
    return found


@contextmanager
def _redis() -> Iterator[RedisServer]:
    program = shutil.which("redis-server")
    if program is None:
        raise RedisError(
            "redis-server is not installed, and it is measured (Debian: apt-get install redis-server)"
        )
    with TemporaryDirectory() as folder:
        server = RedisServer(program, Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.kill()


def _key(path: Path) -> str:
    secret, digest = make_key()
    key = ApiKey(
        name="load",
        sha256=digest,
        role=Role.CLIENT,
        created=datetime.now(UTC),
        requests_per_second=_RATE,
    )
    key_file.add(path, key)
    return secret


def _spent(redis: Redis) -> tuple[float, int, int]:
    """Return processor seconds, bytes in and out, and calls of scripts of a redis-server so far."""
    cpu, stats, commands = (redis.info(part) for part in ("cpu", "stats", "commandstats"))
    scripts = sum(
        found["calls"] for name, found in commands.items() if name in ("cmdstat_eval", "cmdstat_evalsha")
    )
    return (
        cpu["used_cpu_sys"] + cpu["used_cpu_user"],
        stats["total_net_input_bytes"] + stats["total_net_output_bytes"],
        scripts,
    )
