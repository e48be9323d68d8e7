"""Concurrent work on many items, with results in order."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from typing import Any, TypeVar

_A = TypeVar("_A")
_B = TypeVar("_B")


def in_order(
    work: Callable[[_A, Event], _B], given: Iterable[_A], concurrency: int
) -> Generator[_B, None, None]:
    """Yield the work's result for each item, in the order of the items.

    At most ``concurrency`` items are worked on at a time, and as many again wait for their turn.
    When no more results are wanted, the event is set. Items that are worked on are then waited for,
    so that they do not outlive the objects they use.

    Args:
        work: function of an item and the event.
        given: items; they are taken as they are needed.
        concurrency: number of items that are worked on at a time.
    """
    stop = Event()
    pool = ThreadPoolExecutor(concurrency, thread_name_prefix="mutant-guard-client")
    ahead: deque[Future[_B]] = deque()
    try:
        for one in given:
            ahead.append(pool.submit(work, one, stop))
            while ahead and (len(ahead) >= 2 * concurrency or ahead[0].done()):
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


async def in_order_async(
    work: Callable[[_A], Coroutine[Any, Any, _B]], given: Iterable[_A], concurrency: int
) -> AsyncGenerator[_B, None]:
    """Yield the work's result for each item, in the order of the items.

    At most ``concurrency`` items are worked on at a time, and as many again wait for their turn.
    When no more results are wanted, the other tasks are cancelled.

    Args:
        work: coroutine function of an item.
        given: items; they are taken as they are needed.
        concurrency: number of items that are worked on at a time.
    """
    slots = asyncio.Semaphore(concurrency)

    async def in_turn(one: _A) -> _B:
        async with slots:
            return await work(one)

    ahead: deque[asyncio.Task[_B]] = deque()
    try:
        for one in given:
            ahead.append(asyncio.create_task(in_turn(one)))
            while ahead and (len(ahead) >= 2 * concurrency or ahead[0].done()):
                yield await ahead[0]
                ahead.popleft()
        while ahead:
            yield await ahead[0]
            ahead.popleft()
    finally:
        for task in ahead:
            task.cancel()
        await asyncio.gather(*ahead, return_exceptions=True)
