"""Results that threads hand to coroutines."""

import asyncio
import gc
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor
from functools import partial
from typing import Any

import anyio
import pytest

from mutant_guard.runtime.scheduling.bridge import Bridge

pytestmark = pytest.mark.anyio


class CountedLoop:
    """Event loop that counts how often threads wake it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.woken = 0

    def create_future(self) -> "asyncio.Future[Any]":
        return self._loop.create_future()

    def call_soon_threadsafe(self, callback: Callable[..., object], *args: object) -> asyncio.Handle:
        self.woken += 1
        return self._loop.call_soon_threadsafe(callback, *args)


def in_a_thread(*steps: Callable[[], object]) -> None:
    """Run steps in another thread and wait for its end, while the loop's thread stands still."""

    def work() -> None:
        for step in steps:
            step()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()


def bridge_here() -> Bridge:
    return Bridge(asyncio.get_running_loop())


async def test_a_result_and_an_error_come_across() -> None:
    bridge, good, bad = bridge_here(), Future[int](), Future[int]()
    waiting = bridge.follow(good), bridge.follow(bad)
    in_a_thread(lambda: good.set_result(7), lambda: bad.set_exception(KeyError("gone")))
    with anyio.fail_after(5):
        assert await waiting[0] == 7
        with pytest.raises(KeyError, match="gone"):
            await waiting[1]


@pytest.mark.parametrize("in_own_thread", [False, True])
async def test_what_is_done_already_is_answered_as_well(in_own_thread: bool) -> None:
    bridge, done = bridge_here(), Future[str]()
    if in_own_thread:
        done.set_result("early")
    else:
        in_a_thread(lambda: done.set_result("early"))
    with anyio.fail_after(5):
        assert await bridge.follow(done) == "early"


async def test_a_result_of_the_loops_own_thread_comes_across() -> None:
    bridge, future = bridge_here(), Future[int]()
    waiting = bridge.follow(future)
    future.set_result(3)
    with anyio.fail_after(5):
        assert await waiting == 3


async def test_all_that_are_done_by_then_reach_the_loop_in_one_waking() -> None:
    loop = CountedLoop(asyncio.get_running_loop())
    bridge = Bridge(loop)  # type: ignore[arg-type]
    futures = [Future[int]() for _ in range(50)]
    waiting = [bridge.follow(future) for future in futures]
    in_a_thread(*(partial(future.set_result, number) for number, future in enumerate(futures)))
    with anyio.fail_after(5):
        assert await asyncio.gather(*waiting) == list(range(50))
    assert loop.woken == 1
    more = Future[int]()
    later = bridge.follow(more)
    in_a_thread(lambda: more.set_result(1))
    with anyio.fail_after(5):
        assert await later == 1
    assert loop.woken == 2


async def test_cancelling_who_waits_cancels_the_work_and_nobody_else() -> None:
    bridge, one, other = bridge_here(), Future[int](), Future[int]()
    waiting = bridge.follow(one), bridge.follow(other)
    assert waiting[0].cancel()
    await asyncio.sleep(0)
    assert one.cancelled()
    assert not other.done()
    with pytest.raises(InvalidStateError):
        one.set_result(1)
    in_a_thread(lambda: other.set_result(2))
    with anyio.fail_after(5):
        assert await waiting[1] == 2


async def test_work_that_was_cancelled_cancels_who_waits() -> None:
    bridge, future = bridge_here(), Future[int]()
    waiting = bridge.follow(future)
    in_a_thread(future.cancel)
    with anyio.fail_after(5), pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_result_that_comes_as_its_waiter_is_cancelled_is_dropped() -> None:
    bridge, future, other = bridge_here(), Future[int](), Future[int]()
    waiting, beside = bridge.follow(future), bridge.follow(other)
    in_a_thread(lambda: future.set_result(1), lambda: other.set_result(2))  # both results are on their way
    waiting.cancel()
    with anyio.fail_after(5):
        assert await beside == 2
    assert waiting.cancelled()


async def test_an_error_nobody_waits_for_any_more_harms_nobody() -> None:
    bridge, future = bridge_here(), Future[int]()
    waiting = bridge.follow(future)
    waiting.cancel()
    in_a_thread(lambda: future.set_exception(ValueError()))  # before the loop can pass on the cancellation
    await asyncio.sleep(0.01)
    del waiting
    gc.collect()


async def test_many_threads_lose_nothing() -> None:
    bridge = bridge_here()
    with ThreadPoolExecutor(8) as threads:
        for _ in range(20):
            waiting = [bridge.follow(threads.submit(pow, number, 2)) for number in range(200)]
            with anyio.fail_after(10):
                assert await asyncio.gather(*waiting) == [number**2 for number in range(200)]


def test_a_loop_that_is_closed_is_left_alone() -> None:
    async def begin(future: "Future[int]") -> None:
        bridge_here().follow(future)

    future = Future[int]()
    asyncio.run(begin(future))
    in_a_thread(lambda: future.set_result(1))
    assert future.result() == 1
