"""Work on many things at a time whose results come in order."""

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
    """What the work gives of each, in order, with so many at a time and as many again waiting for their turn. The event
    is set once nobody waits for the rest; what is under way is then waited for, lest it outlive what it works with.
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
    """What the work gives of each, in order, with so many at a time and as many again waiting for their turn."""
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
