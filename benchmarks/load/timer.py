"""Timer of the kernel: those of event loops are right to a millisecond, as long as a request takes."""

import asyncio
import ctypes
import os
import sys
from time import perf_counter

_MONOTONIC, _ABSOLUTE = 1, 1
_NANOSECONDS = 10**9


class Timer:
    """Timer of one event loop, for the length of a block; it is the event loop's own beside Linux."""

    def __init__(self) -> None:
        """Prepare the timer."""
        self._file, self._off = -1, asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._kernel = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

    def __enter__(self) -> "Timer":
        """Open the timer."""
        if self._kernel is not None:
            self._file = self._kernel.timerfd_create(_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
            if self._file < 0:
                raise OSError(ctypes.get_errno(), "the kernel gives no timer")
            self._loop.add_reader(self._file, self._goes_off)
        return self

    def __exit__(self, *_: object) -> None:
        """Close the timer."""
        if self._file >= 0:
            self._loop.remove_reader(self._file)
            os.close(self._file)

    async def until(self, time: float) -> None:
        """Wait until a time, a value of ``time.perf_counter()``; not at all where it has passed."""
        if time <= perf_counter():
            await asyncio.sleep(0)
            return
        if self._kernel is None:
            await asyncio.sleep(time - perf_counter())
            return
        self._off.clear()
        # interval and time, each in seconds and nanoseconds; Linux has perf_counter count from where
        # its monotonic clock does
        setting = (ctypes.c_long * 4)(0, 0, *divmod(round(time * _NANOSECONDS), _NANOSECONDS))
        if self._kernel.timerfd_settime(self._file, _ABSOLUTE, ctypes.byref(setting), None):
            raise OSError(ctypes.get_errno(), "the kernel does not set the timer")
        await self._off.wait()

    def _goes_off(self) -> None:
        os.read(self._file, 8)
        self._off.set()
