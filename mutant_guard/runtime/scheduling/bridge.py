"""Bridge from threads back to the event loop."""

import asyncio
import contextlib
import threading
from collections import deque
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

_T = TypeVar("_T")


class Bridge:
    """Bridge that lets coroutines wait for futures of threads.

    All futures that are done by the time the loop wakes reach it in one wake-up.
    ``asyncio.wrap_future`` wakes the loop once for each future; at thousands of futures per second
    this is a good part of the work.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Connect to an event loop that runs in this thread.

        Args:
            loop: the event loop of the coroutines that wait.
        """
        self._loop, self._thread = loop, threading.get_ident()
        self._done: deque[tuple[asyncio.Future[Any], Future[Any]]] = deque()
        self._woken = False

    def follow(self, future: "Future[_T]") -> "asyncio.Future[_T]":
        """Return a future of the loop with the same result; cancelling it cancels the other."""
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
            with contextlib.suppress(RuntimeError):  # the loop is closed, and nothing waits any more
                self._loop.call_soon_threadsafe(self._drain)

    def _drain(self) -> None:
        self._woken = False  # reset before draining, so that later arrivals wake the loop again
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
