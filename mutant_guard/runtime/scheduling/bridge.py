"""From threads back to the event loop."""

import asyncio
import contextlib
import threading
from collections import deque
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

_T = TypeVar("_T")


class Bridge:
    """Lets coroutines wait for futures of threads. All that are done by then reach the loop in one waking.

    ``asyncio.wrap_future`` wakes the loop once a future: at thousands a second that is a good part of the work.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Args: the loop of those who wait, which runs in this thread."""
        self._loop, self._thread = loop, threading.get_ident()
        self._done: deque[tuple[asyncio.Future[Any], Future[Any]]] = deque()
        self._woken = False

    def follow(self, future: "Future[_T]") -> "asyncio.Future[_T]":
        """A future of the loop with the same result; cancelling it cancels the other."""
        waiting: asyncio.Future[_T] = self._loop.create_future()
        waiting.add_done_callback(partial(_cancel, future))
        future.add_done_callback(partial(self._settle, waiting))
        return waiting

    def _settle(self, waiting: "asyncio.Future[_T]", future: "Future[_T]") -> None:
        self._done.append((waiting, future))
        if threading.get_ident() == self._thread:
            self._drain()
        elif not self._woken:
            self._woken = True
            with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits any more
                self._loop.call_soon_threadsafe(self._drain)

    def _drain(self) -> None:
        self._woken = False  # first, so that what comes from now on wakes the loop again
        while self._done:
            waiting, future = self._done.popleft()
            if waiting.done():
                continue
            if future.cancelled():
                waiting.cancel()
            elif (error := future.exception()) is not None:
                waiting.set_exception(error)
            else:
                waiting.set_result(future.result())


def _cancel(future: "Future[Any]", waiting: "asyncio.Future[Any]") -> None:
    if waiting.cancelled():
        future.cancel()
