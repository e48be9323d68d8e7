"""Properties of the review queue, in memory and in Redis alike."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import pytest
from prometheus_client import CollectorRegistry, Gauge
from redis.asyncio import Redis

from benchmarks.serving.redis_server import RedisServer
from mutant_guard.wire.review import ReviewState
from service.redis.link import RedisDownError, RedisLink
from service.review.item import Item
from service.review.memory import MemoryQueue
from service.review.queue import Capacity, ReviewQueue, Wanted
from service.review.redis_queue import RedisQueue
from service.review.scripts import keys_of
from tests.support.reviews import found, ruling

pytestmark = pytest.mark.anyio

Make = Callable[[Capacity], ReviewQueue]
LARGE = Capacity(1000, 3600.0, 2**20)
KEYS = keys_of("guard")


def link_to(server: RedisServer, prefix: str = "guard") -> RedisLink:
    up = Gauge("up", "up", registry=CollectorRegistry())
    link = RedisLink(server.url, seconds=1.0, up=up, prefix=prefix)
    link.first(lambda redis: redis.ping())
    return link


@pytest.fixture(params=["memory", "redis"])
async def make(request: pytest.FixtureRequest) -> AsyncIterator[Make]:
    if request.param == "memory":
        yield MemoryQueue
        return
    server: RedisServer = request.getfixturevalue("redis_server")
    server.start()
    link = link_to(server)
    yield lambda capacity: RedisQueue(link, capacity)
    await link.close()


async def filled(queue: ReviewQueue, count: int, image: bytes | None = None) -> list[str]:
    """Fill the queue with ``count`` entries, and return their ids, oldest first."""
    for number in range(count):
        await queue.add(f"key{number}", found(f"r{number}"), image)
    return [item.id for item in await queue.newest(Wanted(limit=count))][::-1]


async def requests_of(queue: ReviewQueue, wanted: Wanted) -> list[str]:
    return [item.found.request_id for item in await queue.newest(wanted)]


async def test_what_is_queued_is_there_as_it_was(make: Make) -> None:
    queue = make(LARGE)
    await queue.add("key", found(), b"a png")
    (item,) = await queue.newest(Wanted())
    assert item.found == found()
    assert (item.ruling, item.seen, item.has_image, item.state) == (None, 1, True, ReviewState.OPEN)
    assert await queue.get(item.id) == item
    assert await queue.image(item.id) == b"a png"
    assert await queue.waiting() == 1


async def test_without_an_image_there_is_none(make: Make) -> None:
    queue = make(LARGE)
    (name,) = await filled(queue, 1)
    assert await queue.image(name) is None
    item = await queue.get(name)
    assert item is not None
    assert not item.has_image


@pytest.mark.parametrize(
    "name",
    [
        *("", "x", "1-2", "9999999999999-0", "1-2-3", "-", "٣-٣", "1" * 100 + "-0", "a\0b"),
        *("99999999999999999999-0", f"{2**64}-0", f"{2**64 - 1}-{2**64 - 1}", "0-0", "1-00", "1-0\n"),
    ],
)
async def test_what_is_not_there_is_none_and_the_queue_goes_on(name: str, make: Make) -> None:
    queue = make(LARGE)
    await filled(queue, 1)
    assert await queue.get(name) is None
    assert await queue.image(name) is None
    assert await queue.rule(name, ruling()) is None
    assert not await queue.remove(name)
    assert await queue.waiting() == 1


@pytest.mark.parametrize("zeros", [1, 4])
async def test_an_entry_has_one_id(zeros: int, make: Make) -> None:
    queue = make(LARGE)
    (name,) = await filled(queue, 1)
    assert await queue.get("0" * zeros + name) is None
    assert await queue.get(name)


async def test_the_same_pixels_are_counted_and_not_queued_again(make: Make) -> None:
    queue = make(LARGE)
    assert await queue.add("key", found("first"), None)
    assert not await queue.add("key", found("second"), None)
    assert not await queue.add("key", found("second"), None, 4)
    assert await queue.add("another", found("third"), None, 3)
    other, item = await queue.newest(Wanted())
    assert (item.found.request_id, item.seen) == ("first", 6)
    assert (other.found.request_id, other.seen) == ("third", 3)


async def test_the_newest_come_first_page_by_page(make: Make) -> None:
    queue = make(LARGE)
    await filled(queue, 130)
    seen: list[str] = []
    before = None
    while page := await queue.newest(Wanted(limit=60, before=before)):
        seen += [item.found.request_id for item in page]
        before = page[-1].id
    assert seen == [f"r{number}" for number in range(129, -1, -1)]


async def test_they_are_found_by_state_and_store(make: Make) -> None:
    queue = make(LARGE)
    names = await filled(queue, 4)
    await queue.add("elsewhere", found("other", store={"name": "mnist", "version": "v"}), None)
    await queue.rule(names[0], ruling(ReviewState.CONFIRMED))
    await queue.rule(names[1], ruling(ReviewState.DISMISSED, 3))
    assert await requests_of(queue, Wanted(ReviewState.OPEN)) == ["other", "r3", "r2"]
    assert await requests_of(queue, Wanted(ReviewState.OPEN, "digits")) == ["r3", "r2"]
    assert await requests_of(queue, Wanted(ReviewState.CONFIRMED)) == ["r0"]
    assert await requests_of(queue, Wanted(ReviewState.DISMISSED)) == ["r1"]
    assert await requests_of(queue, Wanted(None, "mnist")) == ["other"]
    assert await requests_of(queue, Wanted(None, limit=2)) == ["other", "r3"]
    assert await queue.waiting() == 3


async def test_a_decision_is_kept_and_may_be_replaced(make: Make) -> None:
    queue = make(LARGE)
    (name,) = await filled(queue, 1)
    decided = await queue.rule(name, ruling())
    assert decided is not None
    assert (decided.state, decided.ruling) == (ReviewState.CONFIRMED, ruling())
    await queue.rule(name, ruling(ReviewState.DISMISSED, 3))
    item = await queue.get(name)
    assert item is not None
    assert item.ruling == ruling(ReviewState.DISMISSED, 3)
    assert await queue.waiting() == 0
    assert len(await queue.newest(Wanted(None))) == 1


async def test_the_oldest_makes_room(make: Make) -> None:
    queue = make(Capacity(3, 3600.0, 2**20))
    await filled(queue, 5)
    assert await requests_of(queue, Wanted()) == ["r4", "r3", "r2"]
    await queue.add("key0", found("again"), None)
    assert await requests_of(queue, Wanted()) == ["again", "r4", "r3"]


async def test_a_flood_does_not_drive_out_what_was_decided(make: Make) -> None:
    queue = make(Capacity(3, 3600.0, 2**20))
    for name in await filled(queue, 3):
        await queue.rule(name, ruling())
    for number in range(20):
        await queue.add(f"flood{number}", found(f"f{number}"), b"x")
    assert await requests_of(queue, Wanted(ReviewState.CONFIRMED)) == ["r2", "r1", "r0"]
    assert await queue.waiting() == 3


async def test_what_was_decided_is_bounded_as_well(make: Make) -> None:
    queue = make(Capacity(2, 3600.0, 2**20))
    for number in range(5):
        await queue.add(f"key{number}", found(f"r{number}"), None)
        (item,) = await queue.newest(Wanted(ReviewState.OPEN))
        await queue.rule(item.id, ruling())
    assert await requests_of(queue, Wanted()) == ["r4", "r3"]


async def test_of_what_was_decided_that_which_was_first_makes_room(make: Make) -> None:
    queue = make(Capacity(3, 3600.0, 2**20))
    old, *names = await filled(queue, 3)
    for name in names:
        assert await queue.rule(name, ruling())
    for number in range(3, 5):
        await queue.add(f"key{number}", found(f"r{number}"), None)
    for item in await queue.newest(Wanted(ReviewState.OPEN, limit=2)):
        assert await queue.rule(item.id, ruling())
    decided = await queue.rule(old, ruling())  # the oldest entry, decided last
    assert decided is not None
    assert await queue.get(old) == decided
    assert await requests_of(queue, Wanted(ReviewState.CONFIRMED)) == ["r4", "r3", "r0"]


async def test_entries_that_come_meanwhile_are_not_listed_and_none_twice(running_redis: RedisServer) -> None:
    link = link_to(running_redis)
    queue = RedisQueue(link, LARGE)
    entries = await filled(queue, 200)
    number = 200
    listing = queue._items

    async def and_one_comes(redis: Redis, names: list[str]) -> list[Item]:
        nonlocal number
        number += 1
        await queue.add(f"key{number}", found(f"r{number}"), None)
        return await listing(redis, names)

    queue._items = and_one_comes  # type: ignore[method-assign]
    assert [item.id for item in await queue.newest(Wanted(limit=1000))] == entries[::-1]
    assert number > 203
    await link.close()


async def test_what_is_removed_is_gone_and_may_come_again(make: Make) -> None:
    queue = make(LARGE)
    first, second, third = await filled(queue, 3, b"image")
    assert await queue.rule(second, ruling())
    for name in (first, second):
        assert await queue.remove(name)
        assert not await queue.remove(name)
        assert await queue.get(name) is None
        assert await queue.image(name) is None
    assert not await queue.remove("x")
    assert [item.id for item in await queue.newest(Wanted())] == [third]
    assert await queue.waiting() == 1
    assert await queue.add("key0", found("again"), b"image")
    assert await requests_of(queue, Wanted()) == ["again", "r2"]


async def test_images_take_no_more_than_their_room(make: Make) -> None:
    queue = make(Capacity(100, 3600.0, 1000))
    (name,) = await filled(queue, 1, b"x" * 300)
    await queue.rule(name, ruling())
    for number in range(10):
        await queue.add(f"more{number}", found(f"m{number}"), b"y" * 300)
    assert await requests_of(queue, Wanted()) == ["m9", "m8", "r0"]
    await queue.add("huge", found("huge"), b"z" * 2000)
    assert await requests_of(queue, Wanted()) == ["huge", "m9", "m8", "r0"]
    assert [item.has_image for item in await queue.newest(Wanted())] == [False, True, True, True]


async def test_an_entry_is_let_go_of_when_its_time_is_over(make: Make) -> None:
    queue = make(Capacity(100, 0.2, 2**20))
    names = await filled(queue, 2, b"x")
    await queue.rule(names[0], ruling())
    await asyncio.sleep(0.3)
    if isinstance(queue, RedisQueue):
        await queue.trim()
    assert await queue.newest(Wanted()) == []
    assert await queue.image(names[1]) is None
    assert await queue.rule(names[1], ruling()) is None
    assert await queue.waiting() == 0


async def test_nothing_is_left_in_redis_of_what_was_let_go_of(running_redis: RedisServer) -> None:
    link = link_to(running_redis)
    queue = RedisQueue(link, Capacity(100, 0.05, 2**20))
    names = await filled(queue, 3, b"x" * 10)
    await queue.rule(names[0], ruling())
    await asyncio.sleep(0.1)
    await queue.trim()

    async def left(redis: Redis) -> dict[object, object]:
        return {name: await redis.type(name) for name in await redis.keys("*")}

    limits = (KEYS.most_entries, KEYS.most_milliseconds, KEYS.most_bytes)
    expected = {KEYS.stream: b"stream", KEYS.clock: b"hash"} | dict.fromkeys((KEYS.bytes, *limits), b"string")
    assert await link.call(left) == {name.encode(): kind for name, kind in expected.items()}
    assert await link.call(lambda redis: redis.get(KEYS.bytes)) == b"0"
    assert await link.call(lambda redis: redis.xlen(KEYS.stream)) == 0
    await link.close()


async def test_replicas_share_it_and_it_outlives_them(running_redis: RedisServer) -> None:
    links = [link_to(running_redis) for _ in range(2)]
    one, other = (RedisQueue(link, LARGE) for link in links)
    await one.add("key", found(), None)
    await other.add("key", found("again"), None)
    await links[0].close()
    (item,) = await other.newest(Wanted())
    assert (item.found.request_id, item.seen) == ("r", 2)
    await links[1].close()


async def test_what_others_wrote_is_left_out(running_redis: RedisServer) -> None:
    link = link_to(running_redis)
    queue = RedisQueue(link, LARGE)
    names = await filled(queue, 3)
    await link.call(lambda redis: redis.hset(KEYS.rulings, names[1], b"\xff"))
    await link.call(lambda redis: redis.xdel(KEYS.stream, names[2]))
    assert await requests_of(queue, Wanted()) == ["r0"]
    assert await queue.get(names[2]) is None
    await link.close()


async def test_while_redis_is_down_it_says_so(redis_server: RedisServer) -> None:
    redis_server.start()
    link = link_to(redis_server)
    queue = RedisQueue(link, LARGE)
    (name,) = await filled(queue, 1)
    redis_server.kill()
    for asked in (queue.newest(Wanted()), queue.get(name), queue.image(name), queue.rule(name, ruling())):
        with pytest.raises(RedisDownError):
            await asked
    with pytest.raises(RedisDownError):
        await queue.add("key", found(), None)
    await link.close()


@pytest.mark.parametrize("days", [30, -30])
async def test_a_clock_that_is_set_wipes_nothing(
    days: int, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = make(LARGE)
    names = await filled(queue, 2)
    real = time.time
    if isinstance(queue, RedisQueue):  # its clock is another's: what the queue remembers of it is set back
        seen = str(round((real() - days * 86_400) * 1e6))
        await queue._call(lambda redis: redis.hset(KEYS.clock, "seen", seen))
        await queue.trim()
    monkeypatch.setattr(time, "time", lambda: real() + days * 86_400)
    assert [item.id for item in await queue.newest(Wanted())] == names[::-1]
    await queue.add("after", found("after"), None)
    assert await requests_of(queue, Wanted()) == ["after", "r1", "r0"]


async def test_after_a_leap_of_redis_clock_nothing_is_too_old_for_an_hour(running_redis: RedisServer) -> None:
    link = link_to(running_redis)
    queue = RedisQueue(link, Capacity(100, 0.05, 2**20))
    await link.call(lambda redis: redis.hset(KEYS.clock, "seen", "1"))
    await filled(queue, 2)
    await asyncio.sleep(0.1)
    await queue.trim()
    hold = float(await link.call(lambda redis: redis.hget(KEYS.clock, "hold")))
    assert hold - time.time() * 1e6 == pytest.approx(3600e6, abs=60e6)
    assert await queue.waiting() == 2
    await link.call(lambda redis: redis.hset(KEYS.clock, "hold", "1"))
    await queue.trim()
    assert await queue.waiting() == 0
    await link.close()


async def test_the_replica_with_the_most_room_says_how_much_is_kept(running_redis: RedisServer) -> None:
    link = link_to(running_redis)
    large = RedisQueue(link, LARGE)
    small = RedisQueue(link, Capacity(2, 0.05, 10))
    names = await filled(large, 5, b"x" * 20)
    await asyncio.sleep(0.1)
    await small.trim()
    await small.add("small", found("small"), b"y" * 20)
    assert await requests_of(small, Wanted()) == ["small", "r4", "r3", "r2", "r1", "r0"]
    assert await large.image(names[0]) == b"x" * 20
    limits = (KEYS.most_entries, KEYS.most_milliseconds, KEYS.most_bytes)

    async def times_to_live(redis: Redis) -> list[int]:
        return [await redis.ttl(name) for name in limits]

    assert all(3000 < seconds <= 3600 for seconds in await link.call(times_to_live))
    await link.call(lambda redis: redis.delete(*limits))  # an hour after the last large one
    await asyncio.sleep(0.1)
    await small.trim()
    assert await small.waiting() == 0
    await link.close()


async def test_deployments_of_two_prefixes_share_nothing(running_redis: RedisServer) -> None:
    links = [link_to(running_redis, prefix) for prefix in ("one", "two")]
    queues = [RedisQueue(link, LARGE) for link in links]
    for number, queue in enumerate(queues):
        await queue.add("key", found(f"r{number}"), None)
    for number, queue in enumerate(queues):
        assert await requests_of(queue, Wanted()) == [f"r{number}"]
    names = await links[0].call(lambda redis: redis.keys("*"))
    assert {name.partition(b":{review}:")[0] for name in names} == {b"one", b"two"}
    for link in links:
        await link.close()
