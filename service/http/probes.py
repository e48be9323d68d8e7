"""Probes and metrics on a port and a thread of their own, which answer under any load."""

import socket
import threading

from starlette.applications import Starlette
from starlette.routing import Route

from service.guard_service import GuardService
from service.http.connections.bounded_server import BoundedServer
from service.http.routes.health import livez, metrics, readyz

_CONNECTIONS = 16
"""Most connections of the probe port. Its clients are few, and it never runs out of descriptors."""


class ProbeServer:
    """Server of ``/livez``, ``/readyz`` and ``/metrics``, used as a context manager.

    Under overload, hundreds of requests wait for the event loop that classifies. A probe on the
    same port would wait with them.
    """

    def __init__(
        self, guard: GuardService, *, host: str, port: int, listening: socket.socket | None = None
    ) -> None:
        """Bind the probe port.

        Args:
            guard: guard that the probes are about.
            host: address to listen on.
            port: TCP port to listen on.
            listening: socket that is bound already, in place of host and port.

        Raises:
            SystemExit: the address cannot be listened on.
        """
        app = Starlette(routes=[Route("/livez", livez), Route("/readyz", readyz), Route("/metrics", metrics)])
        app.state.guard = guard
        self._server = BoundedServer(
            app,
            host=host,
            port=port,
            connections=_CONNECTIONS,
            refused=lambda *_: None,
            loop="asyncio",
            lifespan="off",
        )
        self._socket = listening or self._server.config.bind_socket()
        self._socket.listen(
            self._server.config.backlog
        )  # probes that come before the thread runs wait for it
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name="probes", daemon=True
        )

    def __enter__(self) -> "ProbeServer":
        """Start the server thread."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the server thread, once the requests under way are answered."""
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()
