"""The link to Redis: open while Redis answers, closed at once when it does not, and reopened."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge
from redis.asyncio import Redis
from structlog.testing import capture_logs

from benchmarks.serving.loopback_server import loopback_server
from benchmarks.serving.redis_server import RedisServer, slow_way
from service.redis.link import RedisDownError, RedisLink, RedisRefusedError
from tests.support.service import free_port, silent_listener

pytestmark = pytest.mark.anyio


def link_to(url: str, seconds: float = 0.03) -> RedisLink:
    return RedisLink(url, seconds=seconds, up=Gauge("up", "up", registry=CollectorRegistry()))


@asynccontextmanager
async def watching(link: RedisLink, *jobs: Any) -> AsyncIterator[RedisLink]:
    link.watch(Redis.ping, *jobs)
    try:
        yield link
    finally:
        await link.close()


async def until(link: RedisLink, *, up: bool) -> None:
    async with asyncio.timeout(10):
        while link.up != up:
            await asyncio.sleep(0.005)


async def ask(link: RedisLink) -> bytes | None:
    kept: bytes | None = await link.call(lambda redis: redis.get("a"))
    return kept


async def test_it_is_asked_once_before_there_is_an_event_loop(running_redis: RedisServer) -> None:
    link = link_to(running_redis.url)
    assert link.first(lambda redis: redis.set("a", "1"))
    assert link.up
    assert await ask(link) == b"1"
    await link.close()


@pytest.mark.parametrize("there", ["nobody", "silence"])
async def test_where_it_is_not_there_at_first_nobody_waits_for_it(there: str) -> None:
    with silent_listener() as silent:
        port = silent if there == "silence" else free_port()
        link = link_to(f"redis://127.0.0.1:{port}")
        started = time.perf_counter()
        with capture_logs() as logs:
            assert link.first(lambda redis: redis.ping()) is None
        assert time.perf_counter() - started < 5
        assert [entry["event"] for entry in logs] == ["redis is not answering"]
        started = time.perf_counter()
        for _ in range(100):
            with pytest.raises(RedisDownError):
                await ask(link)
        assert time.perf_counter() - started < 0.1 * 100 * 0.03  # a tenth of what waiting would take
        await link.close()


async def test_it_is_found_when_it_comes_and_its_going_is_said_once(
    redis_server: RedisServer, quick_looks: None
) -> None:
    link = link_to(redis_server.url)
    with capture_logs() as logs:
        link.first(lambda redis: redis.ping())
        async with watching(link):
            await asyncio.sleep(0.1)
            redis_server.start()
            await until(link, up=True)
            assert link._gauge._value.get() == 1
            redis_server.kill()
            await until(link, up=False)
            assert link._gauge._value.get() == 0
            await asyncio.sleep(0.1)
            redis_server.start()
            await until(link, up=True)
    said = [entry["event"] for entry in logs]
    assert said == ["redis is not answering", "redis is answering"] * 2


@pytest.mark.timing
async def test_the_first_of_many_that_finds_it_gone_spares_the_rest(redis_server: RedisServer) -> None:
    redis_server.start()
    link = link_to(redis_server.url, seconds=0.5)
    link.first(lambda redis: redis.ping())
    await asyncio.gather(*(ask(link) for _ in range(20)))
    redis_server.freeze()
    started = time.perf_counter()
    found = await asyncio.gather(*(ask(link) for _ in range(20)), return_exceptions=True)
    waited = time.perf_counter() - started
    assert {type(one) for one in found} == {RedisDownError}
    assert 0.4 < waited < 5  # one after another they would wait 10 seconds
    asked = time.perf_counter()
    with pytest.raises(RedisDownError):
        await ask(link)
    assert time.perf_counter() - asked < 0.25
    redis_server.thaw()
    await link.close()


async def test_many_at_once_take_turns_on_few_connections(running_redis: RedisServer) -> None:
    link = link_to(running_redis.url, seconds=5.0)
    link.first(lambda redis: redis.set("a", "1"))
    assert await asyncio.gather(*(ask(link) for _ in range(500))) == [b"1"] * 500
    assert link.up
    assert len(await link.call(Redis.client_list)) <= 17
    await link.close()


async def test_who_only_waited_for_a_turn_says_nothing_of_redis(redis_server: RedisServer) -> None:
    redis_server.start()
    async with slow_way(redis_server.port) as way, watching(link_to(way.url, 1.0)) as link:
        await until(link, up=True)
        way.seconds = 0.1  # answers in time, but not to hundreds one after another
        found = await asyncio.gather(*(ask(link) for _ in range(500)), return_exceptions=True)
        assert set(map(type, found)) == {type(None), RedisDownError}
        assert link.up


@pytest.mark.timing
async def test_many_that_wait_for_a_frozen_one_are_all_sent_on_together(redis_server: RedisServer) -> None:
    redis_server.start()
    link = link_to(redis_server.url, seconds=0.5)
    link.first(lambda redis: redis.ping())
    await asyncio.gather(*(ask(link) for _ in range(20)))
    redis_server.freeze()
    started = time.perf_counter()
    found = await asyncio.gather(*(ask(link) for _ in range(500)), return_exceptions=True)
    assert 0.4 < time.perf_counter() - started < 5  # in turns of 16 they would wait 16 seconds
    assert {type(one) for one in found} == {RedisDownError}
    assert not link.up
    redis_server.thaw()
    await link.close()


async def test_a_slow_one_within_the_timeout_is_found_from_cold(
    redis_server: RedisServer, quick_looks: None
) -> None:
    redis_server.start()
    async with slow_way(redis_server.port) as way:
        way.seconds = 0.1
        async with watching(link_to(way.url, 0.25)) as link:  # time for two answers, not for three
            await until(link, up=True)
            assert await ask(link) is None


async def test_after_a_restart_no_connection_of_before_is_used(
    redis_server: RedisServer, quick_looks: None
) -> None:
    redis_server.start()
    link = link_to(redis_server.url, seconds=1.0)
    link.first(lambda redis: redis.ping())
    async with watching(link):
        await asyncio.gather(*(ask(link) for _ in range(20)))
        redis_server.kill()
        await until(link, up=False)
        redis_server.start()
        await until(link, up=True)
        assert await asyncio.gather(*(ask(link) for _ in range(20))) == [None] * 20
        assert link.up


async def test_one_that_is_slower_than_the_timeout_is_down_until_it_is_not(
    redis_server: RedisServer, quick_looks: None
) -> None:
    redis_server.start()
    async with slow_way(redis_server.port) as way, watching(link_to(way.url, 0.1)) as link:
        await until(link, up=True)
        way.seconds = 0.4
        await until(link, up=False)
        with pytest.raises(RedisDownError):
            await ask(link)
        way.seconds = 0.0
        await until(link, up=True)
        assert await ask(link) is None


async def test_a_busy_event_loop_says_nothing_of_redis(running_redis: RedisServer) -> None:
    link = link_to(running_redis.url)
    link.first(lambda redis: redis.ping())

    async def blocked() -> bytes | None:
        asking = asyncio.create_task(ask(link))
        await asyncio.sleep(0)
        time.sleep(0.2)
        return await asking

    for _ in range(3):
        try:
            await blocked()
        except RedisDownError as error:
            assert str(error) == "Redis did not answer in time"
        assert link.up
    await link.close()


async def test_jobs_are_done_while_it_answers_and_a_last_time_at_the_end(
    redis_server: RedisServer, quick_looks: None
) -> None:
    done: list[str] = []

    async def work() -> None:
        await ask(link)
        done.append("work")

    async def broken() -> None:
        raise RedisDownError("not now")

    async def later() -> None:
        done.append("later")

    redis_server.start()
    link = link_to(redis_server.url)
    async with watching(link, work, broken, later):
        async with asyncio.timeout(10):
            while done.count("work") < 3:
                await asyncio.sleep(0.01)
        before = len(done)
    assert len(done) == before + 1
    assert set(done) == {"work"}


async def test_a_job_that_redis_refuses_or_that_fails_ends_neither_the_others_nor_the_watch(
    redis_server: RedisServer, quick_looks: None
) -> None:
    done: list[str] = []

    async def refused() -> None:
        await link.call(lambda redis: redis.xrange("a", "no id"))

    async def faulty() -> None:
        raise ZeroDivisionError

    async def later() -> None:
        done.append("later")

    redis_server.start()
    link = link_to(redis_server.url)
    async with watching(link, refused, faulty, later):
        async with asyncio.timeout(10):
            while len(done) < 3:
                await asyncio.sleep(0.01)
        assert link.up


@pytest.mark.parametrize(
    ("error", "down"),
    [
        ("WRONGTYPE Operation against a key holding the wrong kind of value", False),
        ("ERR Invalid stream ID specified as stream command argument", False),
        ("ERR user_script:3: attempt to compare number with nil", False),
        ("NOPERM this user has no permissions to run the 'eval' command", False),
        ("NOSCRIPT No matching script", False),
        ("ERR wrong number of arguments, not BUSY", False),
        ("LOADING Redis is loading the dataset in memory", True),
        ("READONLY You can't write against a read only replica.", True),
        ("OOM command not allowed when used memory > 'maxmemory'.", True),
        ("MISCONF Redis is configured to save RDB snapshots", True),
        ("MASTERDOWN Link with MASTER is down", True),
        ("CLUSTERDOWN The cluster is down", True),
        ("NOREPLICAS Not enough good replicas to write.", True),
        ("BUSY Redis is busy running a script.", True),
        ("NOAUTH Authentication required.", True),
        ("WRONGPASS invalid username-password pair or user is disabled.", True),
        ("ERR max number of clients reached", True),
    ],
)
@pytest.mark.parametrize("piped", [False, True])
async def test_only_an_error_that_every_call_would_get_means_down(
    error: str, down: bool, piped: bool
) -> None:
    async def asked(redis: Redis) -> object:
        if not piped:
            return await redis.get("a")
        async with redis.pipeline(transaction=False) as pipe:
            pipe.get("a")
            return await pipe.execute()

    refused = Counter("refused", "refused", registry=CollectorRegistry())
    async with answering(f"-{error}\r\n".encode()) as url:
        up = Gauge("up", "up", registry=CollectorRegistry())
        link = RedisLink(url, seconds=5.0, up=up, refused=refused)
        link._set(True)
        with capture_logs() as logs:
            for _ in range(1 if down else 3):
                with pytest.raises(RedisDownError) as caught:
                    await link.call(asked)
        assert isinstance(caught.value, RedisRefusedError) is not down
        assert link.up is not down
        assert refused._value.get() == (0 if down else 3)
        assert [line["event"] for line in logs] == [
            "redis is not answering" if down else "redis refuses a call"
        ]
        await link.close()


async def test_an_answer_that_cannot_be_read_is_one_of_that_call_alone(running_redis: RedisServer) -> None:
    link = link_to(running_redis.url, seconds=5.0)
    link.first(lambda redis: redis.set("a", "no number"))

    async def number(redis: Redis) -> int:
        return int(await redis.get("a") or 0)

    with pytest.raises(RedisRefusedError):
        await link.call(number)
    assert link.up
    assert await ask(link) == b"no number"
    await link.close()


@asynccontextmanager
async def answering(reply: bytes) -> AsyncIterator[str]:
    """Yield the URL of a server that answers everything with ``reply``."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionResetError):  # a client that reads no further
            while await reader.read(1000):
                writer.write(reply)

    async with loopback_server(serve) as port:
        yield f"redis://127.0.0.1:{port}"


@pytest.mark.parametrize(
    "reply", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"$many\r\n", b":x\r\n", b"-ERR no\r\n", b"\xff\r\n"]
)
async def test_what_is_no_redis_is_down(reply: bytes, quick_looks: None) -> None:
    async with answering(reply) as url, watching(link_to(url, 0.5)) as link:
        await asyncio.sleep(0.1)
        assert not link.up
        with pytest.raises(RedisDownError):
            await ask(link)


async def test_answers_are_bytes_whatever_the_url_says(running_redis: RedisServer) -> None:
    link = link_to(f"{running_redis.url}?decode_responses=true")
    assert link.first(lambda redis: redis.set("a", "1", get=True) or redis.get("a")) == b"1"
    assert await ask(link) == b"1"
    await link.close()
