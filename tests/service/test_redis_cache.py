"""The shared cache against a real Redis: there, absent, killed, restarted, deaf, and not Redis at all."""

import asyncio
import re
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Gauge
from redis.asyncio import Redis
from structlog.testing import capture_logs

from service.guard import Guard
from service.redis_cache import RedisCache
from service.settings import Settings
from tests.support.service import (
    Clock,
    digits,
    encode,
    free_port,
    running,
    said,
    settings_for,
    silent_listener,
)

pytestmark = pytest.mark.anyio

# A request may wait once for the connection and once for the answer, 50 ms each; the rest is for slow machines.
EXTRA_SECONDS = 1.0

BODIES = [encode(image) for image in digits(4)]


class RedisServer:
    """A redis-server of our own on a loopback port."""

    def __init__(self, binary: str, directory: Path) -> None:
        self._binary, self._directory = binary, directory
        self.port = free_port()
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen(
            [self._binary, *options, "--dir", str(self._directory)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self._process.stdout is not None
        said = []
        for line in self._process.stdout:
            said.append(line)
            if "Ready to accept connections" in line:
                return
        raise AssertionError(f"redis-server did not start: {''.join(said)}")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """Not started yet."""
    binary = shutil.which("redis-server")
    if binary is None:
        pytest.skip("redis-server is not installed; apt-get install redis-server")
    server = RedisServer(binary, tmp_path)
    yield server
    server.kill()


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis is tried again at once after a failure."""
    monkeypatch.setattr("service.redis_cache._PAUSE", 0.0)


def with_redis(store: Path, url: str) -> Settings:
    return settings_for(store, cache_seconds=60.0, redis_url=url)


def connected(server: RedisServer) -> Redis:
    return Redis.from_url(server.url, decode_responses=True)


def is_up(guard: Guard) -> bool:
    return guard.metrics.registry.get_sample_value("guard_redis_up") == 1


def lookups(guard: Guard, result: str) -> float:
    return guard.metrics.registry.get_sample_value("guard_cache_requests_total", {"result": result}) or 0


async def seconds_to_judge(guard: Guard, body: bytes) -> float:
    """Time of a request that is answered and not from the cache."""
    started = time.perf_counter()
    judgement, cached = said(await guard.judge(body))
    assert not cached
    assert judgement.mutants > 0
    return time.perf_counter() - started


async def test_guards_share_their_judgements(digits_store: Path, server: RedisServer) -> None:
    server.start()
    settings = with_redis(digits_store, server.url)
    async with running(settings) as one, running(settings) as other:
        first = await one.judge(BODIES[0])
        second = await other.judge(BODIES[0])
        assert (first.cached, second.cached) == (False, True)
        assert first.judgement == second.judgement
        assert is_up(one)
        assert is_up(other)
        assert (lookups(one, "miss"), lookups(other, "hit")) == (1, 1)


async def test_guards_with_other_keys_do_not(digits_store: Path, server: RedisServer) -> None:
    server.start()
    settings = with_redis(digits_store, server.url)
    other_key = settings_for(
        digits_store, cache_seconds=60.0, redis_url=server.url, order_key="another key for tests"
    )
    async with running(settings) as one, running(other_key) as other:
        await one.judge(BODIES[0])
        assert not (await other.judge(BODIES[0])).cached


async def test_an_entry_is_kept_for_its_time_under_a_prefix_and_without_pixels(
    digits_store: Path, server: RedisServer
) -> None:
    server.start()
    async with running(with_redis(digits_store, server.url)) as guard, connected(server) as redis:
        await guard.judge(BODIES[0])
        (key,) = await redis.keys("*")
        assert re.fullmatch("guard:verdict:[0-9a-f]{64}", str(key))
        assert 50_000 < await redis.pttl(key) <= 60_000


async def test_what_others_write_under_our_key_is_a_miss(digits_store: Path, server: RedisServer) -> None:
    server.start()
    async with running(with_redis(digits_store, server.url)) as guard, connected(server) as redis:
        await guard.judge(BODIES[0])
        (key,) = await redis.keys("*")
        for value in (b"", b"\xff\xfe", b"[]", b'{"label": 3}'):
            await redis.set(key, value)
            await seconds_to_judge(guard, BODIES[0])
        await redis.delete(key)
        await redis.lpush(key, "a list")
        await seconds_to_judge(guard, BODIES[0])


async def test_without_redis_at_the_start_requests_are_answered_and_later_shared(
    digits_store: Path, server: RedisServer, no_pause: None
) -> None:
    with capture_logs() as logs:
        async with running(with_redis(digits_store, server.url)) as guard:
            assert await seconds_to_judge(guard, BODIES[0]) < EXTRA_SECONDS
            assert not is_up(guard)
            server.start()
            await seconds_to_judge(guard, BODIES[0])
            assert is_up(guard)
            assert (await guard.judge(BODIES[0])).cached
    assert {entry["event"] for entry in logs if entry["log_level"] == "warning"} == {"redis is not answering"}


async def test_redis_may_be_killed_and_come_back(
    digits_store: Path, server: RedisServer, no_pause: None
) -> None:
    server.start()
    async with running(with_redis(digits_store, server.url)) as guard:
        await guard.judge(BODIES[0])
        assert is_up(guard)
        server.kill()
        assert await seconds_to_judge(guard, BODIES[0]) < EXTRA_SECONDS
        assert not is_up(guard)
        server.start()
        await seconds_to_judge(guard, BODIES[0])
        assert is_up(guard)
        assert (await guard.judge(BODIES[0])).cached


async def test_a_deaf_redis_costs_one_short_wait_and_is_then_left_alone(digits_store: Path) -> None:
    with silent_listener() as port:
        async with running(with_redis(digits_store, f"redis://127.0.0.1:{port}")) as guard:
            first = await seconds_to_judge(guard, BODIES[0])
            assert 0.05 < first < EXTRA_SECONDS
            assert not is_up(guard)
            later = [await seconds_to_judge(guard, body) for body in BODIES[1:]]
            assert min(later) < 0.05


async def test_a_deaf_redis_costs_concurrent_requests_the_same_wait_once(digits_store: Path) -> None:
    with silent_listener() as port:
        async with running(with_redis(digits_store, f"redis://127.0.0.1:{port}")) as guard:
            waits = await asyncio.gather(*(seconds_to_judge(guard, body) for body in BODIES))
            assert max(waits) < EXTRA_SECONDS


async def test_within_the_pause_redis_is_not_asked(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, clock = CollectorRegistry(), Clock()
    cache = RedisCache(server.url, seconds=60, up=Gauge("up", "up", registry=registry))
    monkeypatch.setattr("service.redis_cache.time", clock)
    assert await cache.get("a") is None
    server.start()
    await cache.put("a", b"1")
    clock.now += 0.9
    assert await cache.get("a") is None
    assert registry.get_sample_value("up") == 0
    clock.now += 0.2
    await cache.put("a", b"1")
    assert await cache.get("a") == b"1"
    assert registry.get_sample_value("up") == 1
    await cache.close()


@asynccontextmanager
async def answering(reply: bytes) -> AsyncIterator[str]:
    """A server that says the same to everything."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            writer.write(reply)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(
    "reply", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"$many\r\n", b":x\r\n", b"-ERR no\r\n", b"\xff\r\n"]
)
async def test_what_is_no_redis_is_a_miss(reply: bytes) -> None:
    registry = CollectorRegistry()
    async with answering(reply) as url:
        cache = RedisCache(url, seconds=60, up=Gauge("up", "up", registry=registry))
        assert await cache.get("a") is None
        assert registry.get_sample_value("up") == 0
        await cache.close()


async def test_closing_without_redis_is_quiet(server: RedisServer) -> None:
    server.start()
    cache = RedisCache(server.url, seconds=60, up=Gauge("up", "up", registry=CollectorRegistry()))
    await cache.put("a", b"1")
    server.kill()
    await cache.close()
