"""Turns at taking connections from a port that several processes listen on."""

import mmap
import os
import sys
import tempfile
import time

_ABSENT = 1 << 62
_LEAVING = 1 << 40
_WORD = 8
_EIGHTH = 8
_PATIENCE_SECONDS = 0.025
_LAPSE_SECONDS = 0.1
_AT_ONCE = 32
"""Connections taken after such a wait, before the next."""


def turns_file(processes: int) -> int:
    """Return a descriptor of memory that processes share, a number for each; it has no name.

    Args:
        processes: number of processes.
    """
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("turns")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.pwrite(descriptor, _ABSENT.to_bytes(_WORD, sys.byteorder) * processes, 0)
    return descriptor


def forget(descriptor: int, number: int) -> None:
    """Note that a process takes no connections (any more)."""
    os.pwrite(descriptor, _ABSENT.to_bytes(_WORD, sys.byteorder), number * _WORD)


class Turns:
    """Rule of which process takes the next connection: the one that has fewest.

    All are woken by a connection, and without a rule the one that is quickest takes all of a crowd
    that keeps its connections. Every process writes down how many it has. One that has an eighth
    more than another leaves the connection to that one, for 25 ms at most: the other may hang.
    """

    def __init__(self, descriptor: int, number: int, processes: int) -> None:
        """Take part.

        Args:
            descriptor: memory that ``turns_file`` made.
            number: number of this process, from 0.
            processes: number of processes.
        """
        self._counts = memoryview(mmap.mmap(descriptor, processes * _WORD)).cast("q")
        self._number, self._penalty = number, 0
        self._since = self._last = 0.0
        self._granted = 0

    def leave(self) -> None:
        """Leave connections to the others from now on, as long as they take them."""
        self._penalty = _LEAVING
        self.tell(0)

    def tell(self, connections: int) -> None:
        """Write down how many connections this process has."""
        self._counts[self._number] = connections + self._penalty

    def is_mine(self, connections: int) -> bool:
        """Check whether this process is to take the connection that waits.

        Args:
            connections: number of connections that it has.
        """
        self.tell(connections)
        others = [count for number, count in enumerate(self._counts) if number != self._number]
        if connections + self._penalty <= min(others, default=_ABSENT) + connections // _EIGHTH:
            return True
        now = time.monotonic()
        if now - self._last > _LAPSE_SECONDS:
            self._since, self._granted = now, 0
        self._last = now
        if now - self._since > _PATIENCE_SECONDS:
            self._since, self._granted = now, _AT_ONCE
        self._granted -= 1
        return self._granted >= 0
