"""Calls that Redis answers with an error: the request goes without, and everybody else goes on."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from httpx import AsyncClient
from redis import Redis
from structlog.testing import capture_logs

from benchmarks.serving.redis_server import RedisServer
from service.guard_service import GuardService
from tests.support.api_keys import add_key
from tests.support.service import digits, encode, serving, settings_for

pytestmark = pytest.mark.anyio

BODIES = [encode(image) for image in digits(4)]


def value(guard: GuardService, name: str, **labels: str) -> float | None:
    return guard.metrics.registry.get_sample_value(name, labels)


async def stays_up(guard: GuardService) -> None:
    """Check that the link is open now, and still after some looks."""
    for _ in range(5):
        assert value(guard, "guard_redis_up") == 1
        await asyncio.sleep(0.02)


async def is_hit(client: AsyncClient, body: bytes, headers: dict[str, str] | None = None) -> bool:
    answer = await client.post("/classify", content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    cached: bool = answer.json()["cached"]
    return cached


@pytest.mark.parametrize(
    "name", ["99999999999999999999-0", "0-99999999999999999999", f"{2**64}-0", "1-x", "a%00", "x" * 5000]
)
async def test_an_id_that_redis_would_not_take_is_404_and_turns_nothing_off(
    name: str, digits_store: Path, running_redis: RedisServer, quick_looks: None
) -> None:
    guard = GuardService(
        settings_for(digits_store, cache_seconds=60.0, redis_url=running_redis.url, redis_timeout_ms=1000.0)
    )
    async with serving(guard) as client:
        assert not await is_hit(client, BODIES[0])
        for method, path in (("GET", ""), ("GET", "/image"), ("POST", ""), ("DELETE", "")):
            answer = await client.request(method, f"/review/{name}{path}", json={"decision": "dismiss"})
            assert (answer.status_code, answer.json()["type"]) == (
                404,
                "urn:mutant-guard:problem:unknown-entry",
            )
            assert value(guard, "guard_redis_up") == 1
            assert await is_hit(client, BODIES[0])
        answer = await client.get("/review", params={"before": name})
        assert answer.status_code == 422
        assert (await client.get("/review")).status_code == 200
        await stays_up(guard)
    assert value(guard, "guard_redis_refused_total") == 0


@pytest.fixture
def redis(running_redis: RedisServer) -> Iterator[Any]:
    with Redis.from_url(running_redis.url, decode_responses=True) as redis:
        yield redis


async def test_a_key_of_another_type_in_the_cache_is_a_miss_and_nobody_elses(
    digits_store: Path, running_redis: RedisServer, redis: Any, quick_looks: None
) -> None:
    guard = GuardService(
        settings_for(digits_store, cache_seconds=60.0, redis_url=running_redis.url, redis_timeout_ms=1000.0)
    )
    async with serving(guard) as client:
        await is_hit(client, BODIES[0])
        (name,) = redis.keys("guard:verdict:*")
        await is_hit(client, BODIES[1])
        redis.delete(name)
        redis.lpush(name, "a list")
        assert not await is_hit(client, BODIES[0])
        assert await is_hit(client, BODIES[1])
        await stays_up(guard)
        assert value(guard, "guard_redis_refused_total") == 1


async def test_a_rate_under_a_key_of_another_type_is_counted_here(
    digits_store: Path, running_redis: RedisServer, redis: Any, tmp_path: Path, quick_looks: None
) -> None:
    path = tmp_path / "keys.json"
    alice, bob = (
        {"X-API-Key": add_key(path, name, requests_per_second=0.001, burst=2)} for name in ("alice", "bob")
    )
    settings = settings_for(
        digits_store,
        cache_seconds=60.0,
        redis_url=running_redis.url,
        api_keys_file=path,
        redis_timeout_ms=1000.0,
    )
    guard = GuardService(settings)
    async with serving(guard) as client:
        await is_hit(client, BODIES[0], alice)
        (name,) = redis.keys("guard:rate:*")
        redis.delete(name)
        redis.set(name, "text")
        statuses = [
            (await client.post("/classify", content=BODIES[0], headers=alice)).status_code for _ in range(3)
        ]
        assert statuses == [200, 200, 429]
        assert await is_hit(client, BODIES[0], bob)
        redis.delete(name)
        redis.hset(name, mapping={"tokens": "junk", "at": "1"})
        assert (await client.post("/classify", content=BODIES[0], headers=alice)).status_code == 429
        await stays_up(guard)
        assert len(redis.keys("guard:rate:*")) == 2


@pytest.mark.parametrize("name", ["stream", "ids", "open", "all", "images", "bytes", "clock"])
async def test_a_queue_that_redis_refuses_is_said_and_loses_only_what_it_cannot_take(
    name: str, digits_store: Path, running_redis: RedisServer, redis: Any, quick_looks: None
) -> None:
    settings = settings_for(
        digits_store,
        cache_seconds=60.0,
        redis_url=running_redis.url,
        review_sample=1.0,
        redis_timeout_ms=1000.0,
    )
    guard = GuardService(settings)
    key = f"guard:{{review}}:{name}"
    async with serving(guard) as client:
        redis.delete(key)
        redis.set(key, "not a number") if name != "clock" else redis.lpush(key, "x")
        await is_hit(client, BODIES[0])
        async with asyncio.timeout(10):  # where only images cannot be kept, it is queued without one
            while value(guard, "guard_review_lost_total") != (name != "images"):
                await asyncio.sleep(0.01)
        answer = await client.get("/review")
        if answer.status_code != 200:  # nothing can be listed
            assert (answer.status_code, answer.json()["type"]) == (
                503,
                "urn:mutant-guard:problem:redis-refused",
            )
        assert await is_hit(client, BODIES[0])
        await stays_up(guard)
        redis.delete(key)
        await is_hit(client, BODIES[1])
        async with asyncio.timeout(10):
            while (await client.get("/review")).json()["open"] != 1 + (name == "images"):
                await asyncio.sleep(0.01)


async def test_alarms_under_a_key_of_another_type_are_told_of_this_process_and_not_sent_twice(
    digits_store: Path, running_redis: RedisServer, redis: Any, quick_looks: None
) -> None:
    guard = GuardService(settings_for(digits_store, redis_url=running_redis.url, redis_timeout_ms=1000.0))

    async def tested(client: AsyncClient) -> int:
        answer = await client.get("/alarm-rate")
        assert answer.status_code == 200
        count: int = answer.json()["stores"][0]["tested"]
        return count

    async with serving(guard) as client:
        await is_hit(client, BODIES[0])
        async with asyncio.timeout(10):
            while not (names := redis.keys("guard:alarms:*")):
                await asyncio.sleep(0.01)
        redis.delete(*names)
        redis.set(names[0], "text")
        await is_hit(client, BODIES[1])
        await is_hit(client, BODIES[2])
        await stays_up(guard)
        assert await tested(client) == 3


async def test_an_order_key_of_another_type_is_said_once_and_redis_is_used(
    digits_store: Path, running_redis: RedisServer, redis: Any, tmp_path: Path, quick_looks: None
) -> None:
    redis.lpush("guard:order-key", "a list")
    settings = settings_for(
        digits_store,
        cache_seconds=60.0,
        redis_url=running_redis.url,
        redis_timeout_ms=1000.0,
        order_key=None,
        order_key_file=tmp_path / "order.key",
    )
    with capture_logs() as logs:
        guard = GuardService(settings)
        async with serving(guard) as client:
            await is_hit(client, BODIES[0])
            assert await is_hit(client, BODIES[0])
            await stays_up(guard)
    assert [line["event"] for line in logs if line["log_level"] == "error"] == [
        "what Redis holds is no order key"
    ]


async def test_two_deployments_with_prefixes_share_one_database_and_nothing_else(
    digits_store: Path, running_redis: RedisServer, redis: Any, tmp_path: Path, quick_looks: None
) -> None:
    guards = [
        GuardService(
            settings_for(
                digits_store,
                cache_seconds=60.0,
                redis_url=running_redis.url,
                redis_prefix=name,
                order_key=None,
                order_key_file=tmp_path / name,
                review_sample=1.0,
                redis_timeout_ms=1000.0,
            )
        )
        for name in ("one", "two")
    ]
    assert guards[0].state.key.id != guards[1].state.key.id
    for guard in guards:
        async with serving(guard) as client:
            assert not await is_hit(client, BODIES[0])
            async with asyncio.timeout(10):
                while len((await client.get("/review")).json()["entries"]) != 1:
                    await asyncio.sleep(0.01)
                while not redis.keys(f"{guard.settings.redis_prefix}:alarms:*"):
                    await asyncio.sleep(0.01)
    names = redis.keys("*")
    assert {name.partition(":")[0] for name in names} == {"one", "two"}
    for part in ("verdict:", "order-key", "{review}:", "alarms:"):
        for prefix in ("one", "two"):
            assert any(name.startswith(f"{prefix}:{part}") for name in names), (prefix, part)
