"""Rates that hold over all replicas, with a real Redis."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from prometheus_client import CollectorRegistry, Gauge

from benchmarks.serving.redis_server import RedisServer
from service.keys.api_keys import ApiKey
from service.redis.limit import Limits, OwnLimits, SharedLimits
from service.redis.link import RedisLink
from tests.support.api_keys import new_key

pytestmark = pytest.mark.anyio


def limited(rate: float | None, burst: int | None = None, name: str = "alice") -> ApiKey:
    return new_key(name, requests_per_second=rate, burst=burst)[1]


@pytest.fixture
async def replicas(redis_server: RedisServer) -> AsyncIterator[list[SharedLimits]]:
    redis_server.start()
    links = [
        RedisLink(redis_server.url, seconds=1.0, up=Gauge("up", "up", registry=CollectorRegistry()))
        for _ in range(3)
    ]
    for link in links:
        link.first(lambda redis: redis.ping())
    yield [SharedLimits(link) for link in links]
    for link in links:
        await link.close()


async def passed(replicas: list[SharedLimits], key: ApiKey, requests: int) -> int:
    waits = await asyncio.gather(*(replicas[number % len(replicas)].take(key) for number in range(requests)))
    return waits.count(0.0)


async def test_replicas_share_the_burst(replicas: list[SharedLimits]) -> None:
    key = limited(0.01, 7)
    assert await passed(replicas, key, 30) == 7
    assert await passed(replicas, limited(0.01, 5, "bob"), 30) == 5


async def test_replicas_share_the_rate_and_tell_the_wait(replicas: list[SharedLimits]) -> None:
    key, taken = limited(50, 1), 0
    started = time.perf_counter()
    while time.perf_counter() - started < 0.6:
        wait = await replicas[taken % 3].take(key)
        taken += wait == 0.0
        assert wait <= 0.02 + 1e-6
        await asyncio.sleep(0.002)
    elapsed = time.perf_counter() - started
    assert 5 < taken <= 1 + 50 * elapsed + 1


async def test_who_waits_as_told_passes(replicas: list[SharedLimits]) -> None:
    key = limited(10, 1)
    assert await replicas[0].take(key) == 0.0
    wait = await replicas[1].take(key)
    assert 0.0 < wait <= 0.1
    await asyncio.sleep(wait)
    assert await replicas[2].take(key) == 0.0


async def test_a_bucket_that_is_full_again_is_forgotten(
    replicas: list[SharedLimits], redis_server: RedisServer
) -> None:
    key = limited(20, 2)
    assert await passed(replicas, key, 2) == 2
    link = replicas[0]._link
    (name,) = await link.call(lambda redis: redis.keys("guard:rate:*"))
    assert name == f"guard:rate:{key.sha256}".encode()
    assert 0 < await link.call(lambda redis: redis.pttl(name)) <= 101
    async with asyncio.timeout(5):
        while await link.call(lambda redis: redis.exists(name)):
            await asyncio.sleep(0.02)
    assert await passed(replicas, key, 3) == 2


async def test_a_changed_limit_holds_at_once(replicas: list[SharedLimits]) -> None:
    slow = limited(0.001, 10)
    assert await passed(replicas, slow, 11) == 10
    assert await replicas[0].take(slow.model_copy(update={"requests_per_second": 10.0})) == pytest.approx(
        0.1, abs=0.01
    )


async def test_a_bucket_of_the_future_does_not_lock_a_key_out(replicas: list[SharedLimits]) -> None:
    """A clock of Redis that leapt ahead and was set back leaves one."""
    key = limited(10, 2)
    link = replicas[0]._link
    bucket = ["tokens", "0", "at", str(time.time() + 30 * 86_400)]
    await link.call(lambda redis: redis.hset(f"guard:rate:{key.sha256}", items=bucket))
    assert await passed(replicas, key, 5) == 2
    await asyncio.sleep(0.15)
    assert await passed(replicas, key, 5) >= 1


async def test_while_redis_is_down_every_replica_has_its_own(
    replicas: list[SharedLimits], redis_server: RedisServer
) -> None:
    redis_server.kill()
    key = limited(0.01, 2)
    assert await passed(replicas, key, 30) == 6


@pytest.mark.parametrize("limits", [OwnLimits(), SharedLimits.__new__(SharedLimits)], ids=["own", "shared"])
async def test_a_key_without_a_rate_asks_nobody(limits: Limits) -> None:
    assert await limits.take(limited(None)) == 0.0
