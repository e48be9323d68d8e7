"""Writing lines where nobody may be reading."""

import os
import select
import threading
from typing import TextIO

import structlog

_PATIENCE_MS = 25


class LineWriter:
    """A logger of structlog that writes whole lines to a file, never raises, and hardly ever waits.

    Who reads a pipe may stop, or go away, and a write would then wait for ever or fail: with the event loop, which
    logs. So a line that cannot be written within 25 ms is lost, and the following ones at once, until one can be
    written again; then a line says how many were lost.
    """

    def __init__(self, file: TextIO | None) -> None:
        """Args: where to; None, as ``sys.stderr`` is in a process without one, is nowhere."""
        self._file = file
        self._descriptor = _descriptor(file)
        self._lock = threading.RLock()  # a signal may be handled, and logged, while its own thread writes
        self._stalled = self._torn = False
        self._lost = 0

    def msg(self, line: bytes) -> None:
        """Write a line, UTF-8 without its end."""
        with self._lock:
            if not self._write(line + b"\n"):
                self._lost += 1
            elif self._lost:
                lost, self._lost = self._lost, 0
                structlog.get_logger().warning("log lines were lost, nobody read them in time", lines=lost)

    debug = info = warning = error = critical = exception = msg

    def _write(self, line: bytes) -> bool:
        try:
            if self._descriptor is None:
                return self._write_to_file(line)
            return self._write_in_parts(self._descriptor, b"\n" + line if self._torn else line)
        except (OSError, ValueError):  # nobody reads any more; the disk is full; the file is closed
            return False

    def _write_to_file(self, line: bytes) -> bool:
        if self._file is not None:
            self._file.write(line.decode())
            self._file.flush()
        return True

    def _write_in_parts(self, descriptor: int, line: bytes) -> bool:
        """A part is no longer than what a pipe takes without waiting once it is ready to take anything."""
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
    except (OSError, ValueError):  # one in memory
        return None
