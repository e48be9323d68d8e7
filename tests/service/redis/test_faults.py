"""Requests while Redis is absent, killed, frozen, slow or back: right, and hardly later."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from benchmarks.serving.redis_server import RedisServer, slow_way
from mutant_guard.runtime.answer import Answer
from mutant_guard.runtime.judgement import Judgement
from service.guard_service import GuardService
from service.settings import Settings
from tests.support.service import digits, encode, running, settings_for

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

# Limit on the wait of a request for Redis in total. On a quiet machine the wait is at most two
# timeouts of 25 ms. The limit is what is promised. The tests compare the median, so that a busy
# machine is not mistaken for a slow Redis.
PROMISED_SECONDS = 0.1

BODIES = [encode(image) for image in digits(100)]


def with_redis(store: Path, url: str) -> Settings:
    return settings_for(store, cache_seconds=60.0, redis_url=url, inline_ms=5.0)


def is_up(guard: GuardService) -> bool:
    return guard.metrics.registry.get_sample_value("guard_redis_up") == 1


async def until(guard: GuardService, *, up: bool) -> None:
    async with asyncio.timeout(10):
        while is_up(guard) != up:
            await asyncio.sleep(0.005)


@pytest.fixture
async def right(digits_store: Path) -> list[Judgement]:
    """Return the judgements of a guard without Redis on the images."""
    async with running(settings_for(digits_store)) as guard:
        return [(await guard.judge(body)).judgement for body in BODIES]


async def seconds_of(guard: GuardService, bodies: list[bytes]) -> list[float]:
    found = []
    for body in bodies:
        started = time.perf_counter()
        await guard.judge(body)
        found.append(time.perf_counter() - started)
    return found


def median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


async def test_a_frozen_redis_costs_the_first_request_a_short_wait_and_the_others_nothing(
    digits_store: Path, redis_server: RedisServer, quick_looks: None
) -> None:
    redis_server.start()
    async with running(with_redis(digits_store, redis_server.url)) as guard:
        await until(guard, up=True)
        usual = median(await seconds_of(guard, BODIES[:20]))
        firsts = []
        for round_ in range(5):
            redis_server.freeze()
            start = 20 + 10 * round_
            first, *later = await seconds_of(guard, BODIES[start : start + 10])
            firsts.append(first)
            assert not is_up(guard)
            assert median(later) < usual + 0.02
            redis_server.thaw()
            await until(guard, up=True)
        assert median(firsts) < usual + PROMISED_SECONDS


async def test_one_that_answers_just_in_time_costs_no_more_than_promised(
    digits_store: Path, redis_server: RedisServer, quick_looks: None
) -> None:
    """A slower Redis counts as down.

    The timeout bounds the wait for the look-up and for keeping.
    """
    redis_server.start()
    async with slow_way(redis_server.port) as way, running(with_redis(digits_store, way.url)) as guard:
        await until(guard, up=True)
        usual = median(await seconds_of(guard, BODIES[:20]))
        for milliseconds in (10, 20, 24, 40, 200):
            way.seconds = milliseconds / 1000
            slow = await seconds_of(guard, [encode(image) for image in digits(8, noise=milliseconds / 1000)])
            assert median(slow) < usual + PROMISED_SECONDS
        assert not is_up(guard)


@asynccontextmanager
async def asked_all_the_time(guard: GuardService) -> AsyncIterator[list[tuple[int, Answer]]]:
    """Run eight clients that go through the images again and again, and yield their answers."""
    told: list[tuple[int, Answer]] = []
    ended = asyncio.Event()

    async def client(start: int) -> None:
        at = start
        while not ended.is_set():
            told.append((at, await guard.judge(BODIES[at])))
            at = (at + 1) % len(BODIES)
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as clients:
        for number in range(8):
            clients.create_task(client(12 * number))
        yield told
        ended.set()


async def test_through_every_fault_under_load_every_verdict_is_given_and_right(
    digits_store: Path, redis_server: RedisServer, right: list[Judgement], quick_looks: None
) -> None:
    async with (
        running(with_redis(digits_store, redis_server.url)) as guard,
        asked_all_the_time(guard) as told,
    ):
        for _ in range(3):
            redis_server.start()
            await until(guard, up=True)
            await asyncio.sleep(0.1)
            redis_server.freeze()
            await until(guard, up=False)
            await asyncio.sleep(0.1)
            redis_server.thaw()
            await until(guard, up=True)
            await asyncio.sleep(0.1)
            redis_server.kill()
            await until(guard, up=False)
            await asyncio.sleep(0.1)
    assert len(told) > 500
    for number, answer in told:
        assert answer.judgement == right[number]
    assert {answer.cached for _, answer in told} == {False, True}


async def test_without_redis_at_the_start_requests_are_answered_and_later_shared(
    digits_store: Path, redis_server: RedisServer, quick_looks: None
) -> None:
    async with running(with_redis(digits_store, redis_server.url)) as guard:
        assert not (await guard.judge(BODIES[0])).cached
        assert not (await guard.judge(BODIES[0])).cached
        redis_server.start()
        await until(guard, up=True)
        assert [(await guard.judge(BODIES[0])).cached for _ in range(2)] == [False, True]
