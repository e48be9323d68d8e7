"""Verdicts that replicas share, with a real Redis."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from benchmarks.serving.redis_server import RedisServer
from service.guard_service import GuardService
from service.settings import Settings
from tests.support.service import NotFiniteSession, digits, encode, running, said, serving, settings_for

pytestmark = pytest.mark.anyio

BODIES = [encode(image) for image in digits(4)]


def with_redis(store: Path, server: RedisServer, **changes: object) -> Settings:
    patient = {"redis_timeout_ms": 1000.0} | changes
    return settings_for(store, cache_seconds=60.0, redis_url=server.url, **patient)


def connected(server: RedisServer) -> Redis:
    return Redis.from_url(server.url, decode_responses=True)


def lookups(guard: GuardService, result: str) -> float:
    return guard.metrics.registry.get_sample_value("guard_cache_requests_total", {"result": result}) or 0


async def test_guards_share_their_judgements(digits_store: Path, running_redis: RedisServer) -> None:
    settings = with_redis(digits_store, running_redis)
    async with running(settings) as one, running(settings) as other:
        first = await one.judge(BODIES[0])
        second = await other.judge(BODIES[0])
        assert (first.cached, second.cached) == (False, True)
        assert first.judgement == second.judgement
        assert (lookups(one, "miss"), lookups(other, "hit")) == (1, 1)


@pytest.mark.parametrize(
    "change", [{"order_key": "another key for tests"}, {"policy": "fixed"}, {"max_mutants": 5}]
)
async def test_guards_that_may_judge_otherwise_do_not(
    change: dict[str, object], digits_store: Path, running_redis: RedisServer
) -> None:
    async with (
        running(with_redis(digits_store, running_redis)) as one,
        running(with_redis(digits_store, running_redis, **change)) as other,
    ):
        await one.judge(BODIES[0])
        assert not (await other.judge(BODIES[0])).cached
        assert (await one.judge(BODIES[0])).cached


async def test_an_entry_is_kept_for_its_time_under_a_prefix_and_without_pixels(
    digits_store: Path, running_redis: RedisServer
) -> None:
    async with running(with_redis(digits_store, running_redis)) as guard, connected(running_redis) as redis:
        await guard.judge(BODIES[0])
        (key,) = await redis.keys("guard:verdict:*")
        assert re.fullmatch("guard:verdict:1:[0-9a-f]{64}", str(key))
        assert 50_000 < await redis.pttl(key) <= 60_000


async def test_what_others_write_under_our_key_is_a_miss(
    digits_store: Path, running_redis: RedisServer, quick_looks: None
) -> None:
    async with running(with_redis(digits_store, running_redis)) as guard, connected(running_redis) as redis:
        first = await guard.judge(BODIES[0])
        (key,) = await redis.keys("guard:verdict:*")
        for value in (b"", b"\xff\xfe", b"[]", b'{"label": 3}'):
            await redis.set(key, value)
            again = await guard.judge(BODIES[0])
            assert said(again) == (first.judgement, False)
        await redis.delete(key)
        await redis.lpush(key, "a list")
        assert said(await guard.judge(BODIES[0])) == (first.judgement, False)


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize(
    "change",
    [
        {"label": 10},
        {"label": -1},
        {"label": 2**70},
        {"class_name": "cat"},
        {"confidence": 1.5},
        {"confidence": -0.1},
        {"raw_scores": "AAAA"},
        {"raw_scores": "AA=="},
        {"verdict": "undecided"},
        {"verdict": "undecided", "undecided_because": "pool_exhausted"},
        {"verdict": "adversarial"},
        {"undecided_because": "deadline"},
        {"mutants": 0},
        {"mutants": 10**6},
        {"mutants": -1},
        {"label_changes": 7},
        {"labels": []},
        {"labels": [99]},
        {"evidence": []},
        {"evidence": [10**9]},
        {"operators": []},
        {"own_evidence": 2**70},
    ],
    ids=str,
)
async def test_a_kept_verdict_that_contradicts_itself_is_a_miss(
    soft: bool,
    change: dict[str, object],
    digits_store: Path,
    retrained_store: Path,
    running_redis: RedisServer,
) -> None:
    settings = with_redis(retrained_store if soft else digits_store, running_redis)
    guard = GuardService(settings)
    async with serving(guard) as client, connected(running_redis) as redis:
        path = "/classify?explain=true"
        first = (await client.post(path, content=BODIES[0])).json()
        assert first["verdict"] == "normal"
        assert (await client.post(path, content=BODIES[0])).json()["cached"] is True
        (key,) = await redis.keys("guard:verdict:*")
        kept = json.loads(str(await redis.get(key)))
        await redis.set(key, json.dumps(kept | change))
        with capture_logs() as logs:
            again = await client.post(path, content=BODIES[0])
        assert again.status_code == 200
        changing = {"request_id", "elapsed_ms"}
        assert {k: v for k, v in again.json().items() if k not in changing} == {
            k: v for k, v in first.items() if k not in changing
        }
        assert "kept verdict contradicts itself" in {line["event"] for line in logs}
        assert (lookups(guard, "hit"), lookups(guard, "miss")) == (1, 2)
        assert (await client.post(path, content=BODIES[0])).json()["cached"] is True


@pytest.mark.parametrize("mutant", [False, True], ids=["original", "mutant"])
async def test_an_alarm_on_scores_that_are_not_finite_is_shared(
    mutant: bool,
    standardising_store: Path,
    digits_store: Path,
    running_redis: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = with_redis(digits_store if mutant else standardising_store, running_redis)
    image = digits(1)[0] if mutant else np.zeros((8, 8), np.uint8)
    if mutant:
        model = GuardService(settings).models.default
        third = int(model.order.mutants(image[..., None])[2])
        session = NotFiniteSession(digits_store, np.nan, mutant=third)
        monkeypatch.setattr("mutant_guard.runtime.model.load_engine", lambda store, **_: session)
    async with running(settings) as one, running(settings) as other:
        first, second = await one.judge(encode(image)), await other.judge(encode(image))
    assert first.judgement.undecided_because == "not_finite"
    assert (first.cached, second.cached) == (False, True)
    assert second.adversarial
    assert first.judgement == second.judgement
