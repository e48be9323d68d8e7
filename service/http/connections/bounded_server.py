"""uvicorn server whose connections are bounded in number, and in what their clients may do."""

import asyncio
import socket
import sys
from functools import partial
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.config import STARTUP_FAILURE

from service.http.connections.clients import Clients
from service.http.connections.connection import Connection, Refused
from service.http.connections.listener import Listener
from service.processes.turns import Turns


class BoundedServer(uvicorn.Server):
    """uvicorn server that listens with a ``Listener`` and speaks HTTP with ``Connection``."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        host: str,
        port: int,
        connections: int,
        refused: Refused,
        turns: Turns | None = None,
        **further: Any,
    ) -> None:
        """Make a server without logs, access log, server header and trust in proxies' headers.

        Args:
            app: application that answers.
            host: address to listen on.
            port: TCP port to listen on.
            connections: most connections at a time.
            refused: reports what connections refuse.
            turns: turns among the processes that share the port; None where it is this one's alone.
            further: further settings of uvicorn.
        """
        config = uvicorn.Config(
            app,
            host=host,
            port=port,
            http="httptools",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            **further,
        )
        super().__init__(config)
        self._clients, self._refused, self._turns = Clients(connections), refused, turns

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application and listen; all else is as in uvicorn.

        Raises:
            SystemExit: the application does not start, or the address cannot be listened on.
        """
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            sys.exit(STARTUP_FAILURE)
        config = self.config
        (listening,) = sockets or [config.bind_socket()]
        listening.listen(config.backlog)
        protocol = partial(
            Connection,
            config,
            self.server_state,
            self.lifespan.state,
            clients=self._clients,
            refused=self._refused,
        )
        self._loop = asyncio.get_running_loop()
        self.servers = [Listener(listening, protocol, self._clients, self._loop, self._turns)]  # type: ignore[list-item]
        self.started = True

    def cut_off(self) -> None:
        """End every connection now; requests under way end as if their clients were gone.

        May be called from a signal handler, once the server has started.
        """

        def abort() -> None:
            for connection in list(self.server_state.connections):
                connection.transport.abort()

        self._loop.call_soon_threadsafe(abort)

    async def on_tick(self, counter: int) -> bool:
        """Look ten times a second for clients that take too long, and whether to stop."""
        self._clients.look()
        if self._turns is not None:
            self._turns.tell(len(self._clients))
        return await super().on_tick(counter)
