"""The verdict cache in memory: time to live, and the entry that is dropped first."""

import pytest

from mutant_guard.runtime.verdict_cache import MemoryCache
from tests.support.service import Clock

pytestmark = pytest.mark.anyio


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("mutant_guard.runtime.verdict_cache.time", clock)
    return clock


async def test_what_was_put_is_found_and_nothing_else() -> None:
    cache = MemoryCache(seconds=10, entries=4)
    await cache.put("a", b"1")
    assert await cache.get("a") == b"1"
    assert await cache.get("b") is None


async def test_an_entry_is_gone_after_its_time_to_live(clock: Clock) -> None:
    cache = MemoryCache(seconds=10, entries=4)
    await cache.put("a", b"1")
    clock.now += 9.9
    assert await cache.get("a") == b"1"
    clock.now += 0.2
    assert await cache.get("a") is None


async def test_reading_does_not_prolong_an_entry_and_putting_again_does(clock: Clock) -> None:
    cache = MemoryCache(seconds=10, entries=4)
    await cache.put("read", b"1")
    await cache.put("put", b"1")
    clock.now += 6
    assert await cache.get("read") == b"1"
    await cache.put("put", b"2")
    clock.now += 6
    assert await cache.get("read") is None
    assert await cache.get("put") == b"2"


async def test_the_least_recently_used_entry_makes_room() -> None:
    cache = MemoryCache(seconds=10, entries=2)
    await cache.put("a", b"1")
    await cache.put("b", b"2")
    await cache.get("a")
    await cache.put("c", b"3")
    assert [await cache.get(key) for key in "abc"] == [b"1", None, b"3"]
