"""The order key that all replicas share."""

import asyncio
from pathlib import Path

import pytest
from redis import Redis
from structlog.testing import capture_logs

from benchmarks.serving.redis_server import RedisServer
from service.guard_service import GuardService
from service.settings import Settings
from tests.support.service import digits, encode, running, settings_for

pytestmark = pytest.mark.anyio

NAME = "guard:order-key"


def replica(store: Path, server: RedisServer, directory: Path, **changes: object) -> Settings:
    """Return the settings of a replica with a disk of its own."""
    directory.mkdir(exist_ok=True)
    return settings_for(
        store,
        **{
            "order_key": None,
            "order_key_file": directory / "order.key",
            "redis_url": server.url,
            "redis_timeout_ms": 200.0,
        }
        | changes,
    )


def kept(server: RedisServer) -> bytes | None:
    with Redis.from_url(server.url) as redis:
        found = redis.get(NAME)
    assert found is None or isinstance(found, bytes)
    return found


def told(guard: GuardService) -> set[str]:
    """Return the key ids that the metrics show."""
    return {
        sample.labels["id"]
        for family in guard.metrics.registry.collect()
        for sample in family.samples
        if sample.name == "guard_order_key_info"
    }


async def until_alike(one: GuardService, other: GuardService) -> None:
    async with asyncio.timeout(10):
        while one.state.key.value != other.state.key.value or told(one) != told(other):
            await asyncio.sleep(0.01)


async def test_the_first_replica_gives_and_the_others_take(
    digits_store: Path, running_redis: RedisServer, tmp_path: Path
) -> None:
    one, other = (replica(digits_store, running_redis, tmp_path / name) for name in ("one", "other"))
    async with running(one) as first, running(other) as second:
        assert kept(running_redis) == first.state.key.value == second.state.key.value
        assert told(first) == told(second) == {first.state.key.id}
        body = encode(digits(1)[0])
        answers = [await guard.judge(body) for guard in (first, second)]
        assert answers[0].pixels_key == answers[1].pixels_key
    assert one.order_key_file.read_text() == other.order_key_file.read_text()


async def test_without_redis_at_the_start_the_key_of_before_is_used(
    digits_store: Path, redis_server: RedisServer, tmp_path: Path
) -> None:
    redis_server.start()
    settings = replica(digits_store, redis_server, tmp_path / "one")
    async with running(settings) as guard:
        key = guard.state.key.value
    redis_server.kill()
    async with running(settings) as guard:
        assert guard.state.key.value == key


async def test_replicas_that_started_apart_agree_once_redis_is_there(
    digits_store: Path, redis_server: RedisServer, tmp_path: Path, quick_looks: None
) -> None:
    one, other = (replica(digits_store, redis_server, tmp_path / name) for name in ("one", "other"))
    body = encode(digits(1)[0])
    async with running(one) as first, running(other) as second:
        before = [await guard.judge(body) for guard in (first, second)]
        assert before[0].pixels_key != before[1].pixels_key
        redis_server.start()
        await until_alike(first, second)
        after = [await guard.judge(body) for guard in (first, second)]
        assert after[0].pixels_key == after[1].pixels_key
        assert after[0].judgement == after[1].judgement


async def test_a_redis_that_lost_its_data_has_the_key_back(
    digits_store: Path, redis_server: RedisServer, tmp_path: Path, quick_looks: None
) -> None:
    redis_server.start()
    async with running(replica(digits_store, redis_server, tmp_path / "one")) as guard:
        key = guard.state.key.value
        redis_server.kill()
        redis_server.start()
        async with asyncio.timeout(10):
            while kept(redis_server) is None:
                await asyncio.sleep(0.02)
        assert kept(redis_server) == key == guard.state.key.value


async def test_a_key_that_was_set_stays_and_is_not_shared(
    digits_store: Path, running_redis: RedisServer, tmp_path: Path, quick_looks: None
) -> None:
    settings = replica(digits_store, running_redis, tmp_path / "one", order_key="given by the user")
    async with running(settings) as guard:
        await asyncio.sleep(0.1)
        assert guard.state.key.value == b"given by the user"
        assert kept(running_redis) is None


async def test_what_is_no_key_is_left_alone_and_said_once(
    digits_store: Path, running_redis: RedisServer, tmp_path: Path, quick_looks: None
) -> None:
    with Redis.from_url(running_redis.url) as redis:
        redis.set(NAME, "abc")
    with capture_logs() as logs:
        async with running(replica(digits_store, running_redis, tmp_path / "one")) as guard:
            await asyncio.sleep(0.1)
            assert len(guard.state.key.value) == 32
    assert kept(running_redis) == b"abc"
    errors = [entry for entry in logs if entry["log_level"] == "error"]
    assert [entry["remedy"] for entry in errors] == ["delete it: redis-cli DEL guard:order-key"]


async def test_a_disk_that_cannot_be_written_keeps_nobody_from_the_others_key(
    digits_store: Path, running_redis: RedisServer, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way of a directory")
    broken = replica(
        digits_store, running_redis, tmp_path / "one", order_key_file=tmp_path / "file" / "order.key"
    )
    async with running(replica(digits_store, running_redis, tmp_path / "other")) as first:
        with capture_logs() as logs:
            async with running(broken) as second:
                assert second.state.key.value == first.state.key.value
    assert "order key is not kept on disk" in {entry["event"] for entry in logs}


async def test_a_key_that_could_not_be_kept_on_disk_is_kept_as_soon_as_it_can_be(
    digits_store: Path,
    running_redis: RedisServer,
    tmp_path: Path,
    quick_looks: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("service.order_key._KEEP_AGAIN_SECONDS", 0.02)
    async with running(replica(digits_store, running_redis, tmp_path / "other")) as first:
        settings = replica(digits_store, running_redis, tmp_path / "one")
        settings.order_key_file.mkdir()  # in the way of the file
        async with running(settings) as second:
            assert second.state.key.value == first.state.key.value
            settings.order_key_file.rmdir()
            async with asyncio.timeout(10):
                while not settings.order_key_file.is_file():
                    await asyncio.sleep(0.01)
            assert settings.order_key_file.read_text().strip() == first.state.key.value.hex()


@pytest.mark.parametrize("order_key", [None, "5a" * 32])
async def test_one_that_answers_but_takes_nothing_is_down(
    order_key: str | None, digits_store: Path, running_redis: RedisServer, tmp_path: Path, quick_looks: None
) -> None:
    settings = replica(digits_store, running_redis, tmp_path / "one", order_key=order_key, cache_seconds=60.0)

    def up() -> float | None:
        return guard.metrics.registry.get_sample_value("guard_redis_up")

    async with running(settings) as guard:
        with Redis.from_url(running_redis.url) as redis:
            redis.delete(NAME)
            redis.config_set("maxmemory", "1")
            redis.config_set("maxmemory-policy", "noeviction")
            async with asyncio.timeout(10):
                while up():
                    await asyncio.sleep(0.01)
            for _ in range(100):  # a look takes place every hundredth of a second
                await asyncio.sleep(0.005)
                assert up() == 0
            redis.config_set("maxmemory", "0")
        async with asyncio.timeout(10):
            while not up():
                await asyncio.sleep(0.01)
