"""Log writer that does not depend on a reader."""

import os
import select
import threading
from contextlib import AbstractContextManager, nullcontext
from typing import TextIO

import structlog

_PATIENCE_MS = 25
_NOBODY_ELSE = nullcontext(True)


class LineWriter:
    """Logger of structlog that writes whole lines to a file, never raises, and hardly ever waits.

    The reader of a pipe may stop or go away. A write would then wait for ever or fail, and so would
    the event loop, which logs. A line that cannot be written within 25 ms is lost, and later lines
    are lost at once until a line can be written again. Then a further line says how many were lost.
    """

    def __init__(self, file: TextIO | None, alone: AbstractContextManager[bool] = _NOBODY_ELSE) -> None:
        """Write to a file.

        Args:
            file: the file; None, as ``sys.stderr`` is in a process without one, drops every line.
            alone: context in which no other process writes to the file, if it says so; without it a
                line is lost like one that nobody reads.
        """
        self._alone = alone
        self._file = file
        self._descriptor = _descriptor(file)
        self._lock = threading.RLock()  # reentrant: a signal handler may log while its own thread writes
        self._stalled = self._torn = False
        self._lost = 0

    def msg(self, line: bytes) -> None:
        """Write a line, given in UTF-8 without its newline."""
        with self._lock:
            if not self._write(line + b"\n"):
                self._lost += 1
            elif self._lost:
                lost, self._lost = self._lost, 0
                structlog.get_logger().warning("log lines were lost, nobody read them in time", lines=lost)

    debug = info = warning = error = critical = exception = msg

    def _write(self, line: bytes) -> bool:
        try:
            with self._alone as mine:
                if not mine:
                    return False
                if self._descriptor is None:
                    return self._write_to_file(line)
                return self._write_in_parts(self._descriptor, b"\n" + line if self._torn else line)
        except (OSError, ValueError):  # the reader is gone, the disk is full, or the file is closed
            return False

    def _write_to_file(self, line: bytes) -> bool:
        if self._file is not None:
            self._file.write(line.decode())
            self._file.flush()
        return True

    def _write_in_parts(self, descriptor: int, line: bytes) -> bool:
        """Write a line in parts, each no longer than a pipe that is ready takes without waiting."""
        written = 0
        while written < len(line):
            if not self._ready(descriptor):
                self._torn = self._torn or written > 0
                return False
            written += os.write(descriptor, line[written : written + select.PIPE_BUF])
        self._torn = False
        return True

    def _ready(self, descriptor: int) -> bool:
        poll = select.poll()
        poll.register(descriptor, select.POLLOUT)
        self._stalled = not poll.poll(0 if self._stalled else _PATIENCE_MS)
        return not self._stalled


def _descriptor(file: TextIO | None) -> int | None:
    try:
        return None if file is None else file.fileno()
    except (OSError, ValueError):  # a file in memory
        return None
