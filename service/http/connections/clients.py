"""Connections that wait for their clients: for how long each may, and which is given up first."""

import resource
import time
from enum import IntEnum
from typing import Protocol

import structlog

_RESERVED = 64
"""File descriptors kept free for all else: stores, Redis, key files, logs, probes."""
_FEWEST = 8
"""Connections taken in any case, however few descriptors the process may have."""


_TRIES = 8
"""Most connections that are looked at for one to give up."""
_BODY_SECONDS = 1.0
"""Seconds that a body may take even where others need its place."""


class Wait(IntEnum):
    """What a connection waits for its client to do."""

    IDLE = 0
    """Send the next request."""
    HEAD = 1
    """Send the whole head of a request, or its first byte."""
    CLOSING = 2
    """Read the last answer."""
    UNREAD = 3
    """Read answers that are in its way."""
    BODY = 4
    """Send the whole body of a request."""


SECONDS = {Wait.IDLE: 75.0, Wait.HEAD: 10.0, Wait.CLOSING: 5.0, Wait.UNREAD: 30.0, Wait.BODY: 30.0}
"""Longest time of each wait. That for the next request is longer than what load balancers keep
connections for, so that the client closes first."""


class Waiting(Protocol):
    """Connection that waits for its client now and then."""

    wait: Wait | None
    """What it waits for, None while the server works for it. Set by ``Clients`` alone."""

    def has_unread(self) -> bool:
        """Check whether the client has sent what has not been read yet."""

    def give_up(self, wait: Wait) -> None:
        """End the connection, whose client took too long or whose place another one needs."""


class Clients:
    """Connections of a server, with those that wait for their clients in the order they began to.

    One look at the first of each kind of wait tells whether any has taken too long, so that no
    request needs a timer of its own.

    Attributes:
        most: most connections at a time.
        coming: number of connections that were taken and are not made yet.
    """

    def __init__(self, most: int) -> None:
        """Start without connections.

        Args:
            most: most connections at a time.
        """
        self.most, self.coming = most, 0
        self._connected: set[Waiting] = set()
        self._since: dict[Wait, dict[Waiting, float]] = {wait: {} for wait in Wait}
        self._looked = time.monotonic()

    def __len__(self) -> int:
        """Number of connections, with those that are not made yet."""
        return len(self._connected) + self.coming

    def came(self, connection: Waiting) -> None:
        """Count a connection, which waits for the head of its first request."""
        self._connected.add(connection)
        self.waits(connection, Wait.HEAD)

    def went(self, connection: Waiting) -> None:
        """Forget a connection."""
        self._connected.discard(connection)
        self.waits(connection, None)

    def waits(self, connection: Waiting, wait: Wait | None) -> None:
        """Note what a connection waits for; the same as before goes on, and does not begin anew.

        Args:
            connection: the connection.
            wait: what it waits for, None while the server works for it.
        """
        if connection.wait is wait:
            return
        if connection.wait is not None:
            self._since[connection.wait].pop(connection, None)
        connection.wait = wait
        if wait is not None:
            self._since[wait][connection] = time.monotonic()

    def look(self) -> None:
        """Give up the connections whose clients have taken too long.

        Only time up to the last look counts. Where the process was held up since, what clients sent
        meanwhile has not been read yet.
        """
        for wait, since in self._since.items():
            before = self._looked - SECONDS[wait]
            while since:
                connection, began = next(iter(since.items()))
                if began > before:
                    break
                self._give_up(connection, wait)
        self._looked = time.monotonic()

    def give_one_up(self) -> bool:
        """Give up the connection that has waited longest, so that another one may be taken.

        One that began to wait since the last look is spared, since what it sent may not have been
        read yet. A connection within a request's body goes last.

        Returns:
            Whether there was one.
        """
        for _ in range(_TRIES):
            waiting = []
            for wait, since in self._since.items():
                connection, began = next(iter(since.items()), (None, 0.0))
                if connection is not None and began < self._looked:
                    waiting.append((wait is Wait.BODY, began, connection, wait))
            if not waiting:
                return False
            _, _, connection, wait = min(waiting, key=lambda found: found[:2])
            if wait not in (Wait.IDLE, Wait.HEAD) or not connection.has_unread():
                self._give_up(connection, wait)
                return True
            self.waits(connection, None)  # its client has just done what it was waited for
            self.waits(connection, wait)
        return False

    def give_up_body(self) -> bool:
        """Give up the request whose body has been coming longest, so that its bytes are let go.

        Returns:
            Whether there was one; a body that has just begun to come is not given up.
        """
        connection, began = next(iter(self._since[Wait.BODY].items()), (None, 0.0))
        if connection is None or time.monotonic() - began < _BODY_SECONDS:
            return False
        self._give_up(connection, Wait.BODY)
        return True

    def _give_up(self, connection: Waiting, wait: Wait) -> None:
        self.waits(connection, None)  # first, so that one that fails is not tried for ever
        connection.give_up(wait)


def connections_possible(most: int) -> int:
    """Return how many connections the process can have, and raise its limit of descriptors to that.

    Args:
        most: connections that are wanted.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = most + _RESERVED
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        if soft < wanted:
            possible = max(soft - _RESERVED, _FEWEST)
            structlog.get_logger().warning(
                "fewer connections than GUARD_MAX_CONNECTIONS: the process may open too few files",
                connections=possible,
                limit=soft,
                remedy=f"raise the limit of open files (ulimit -n, LimitNOFILE) to {wanted}",
            )
            return possible
    return most
