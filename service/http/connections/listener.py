"""Listening socket that takes all waiting connections at once."""

import asyncio
import errno
import socket
from collections.abc import Callable

import structlog

from service.http.connections.clients import Clients
from service.processes.turns import Turns

_AT_ONCE = 256
"""Most connections taken before anything else goes on."""
_FULL_SECONDS = 0.02
"""Seconds to wait where there are as many connections as there may be, and every one has work."""
_TURN_SECONDS = 0.002
"""Seconds for which a connection is left to the other processes."""
_EXHAUSTED_SECONDS = 0.5
"""Seconds to wait where the process has no file descriptor left for a connection."""
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Listener:
    """Acceptor of connections for an event loop, with the interface that uvicorn wants of a server.

    uvloop's own server takes one connection in each round of the loop: with a busy server and a
    thousand clients that arrived together, a probe waited many seconds behind them.

    Where there are as many connections as there may be, the one that has waited longest for its
    client makes room; where none waits, new ones queue up until one ends.
    """

    def __init__(
        self,
        listening: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        clients: Clients,
        loop: asyncio.AbstractEventLoop,
        turns: Turns | None = None,
    ) -> None:
        """Start to take connections.

        Args:
            listening: bound socket that listens.
            protocol: function that makes the protocol of a connection.
            clients: connections of the server.
            loop: running event loop.
            turns: turns among the processes that listen on the socket; None where it is this one.
        """
        self.sockets = [listening]
        self._listening, self._protocol, self._loop = listening, protocol, loop
        self._clients, self._turns = clients, turns
        self._connecting: set[asyncio.Task[object]] = set()
        self._resume: asyncio.TimerHandle | None = None
        listening.setblocking(False)
        loop.add_reader(listening, self._accept)

    def close(self) -> None:
        """Take the connections that wait already, then no more."""
        if self._listening.fileno() < 0:
            return
        self._turns = None
        self._accept()
        if self._resume is not None:
            self._resume.cancel()
        self._loop.remove_reader(self._listening)
        self._listening.close()

    async def wait_closed(self) -> None:
        """Wait until every connection that was taken has its protocol."""
        if self._connecting:
            await asyncio.wait(self._connecting)

    def _accept(self) -> None:
        for taken in range(_AT_ONCE):
            if len(self._clients) >= self._clients.most:
                if taken:
                    return  # whether another one waits is not known; the loop says so
                if not self._clients.give_one_up():
                    self._pause(_FULL_SECONDS)
                    return
            if self._turns is not None and not self._turns.is_mine(len(self._clients)):
                self._pause(_TURN_SECONDS)
                return
            try:
                connection, _ = self._listening.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    raise
                structlog.get_logger().error("no further connection can be taken", reason=error.strerror)
                self._clients.give_one_up()
                self._pause(_EXHAUSTED_SECONDS)
                return
            connection.setblocking(False)
            self._clients.coming += 1
            task = self._loop.create_task(self._connect(connection))
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)

    def _pause(self, seconds: float) -> None:
        self._loop.remove_reader(self._listening)
        self._resume = self._loop.call_later(seconds, self._loop.add_reader, self._listening, self._accept)

    async def _connect(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, connection)
        except OSError:  # the connection is gone again
            self._clients.coming -= 1
            connection.close()
