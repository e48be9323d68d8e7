"""Probes and metrics on a port and a thread of their own: they answer however busy the others are."""

import threading

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route

from service.guard_service import GuardService
from service.http.quiet import quiet
from service.http.routes.health import livez, metrics, readyz


class ProbeServer:
    """Answers ``/livez``, ``/readyz`` and ``/metrics`` for the length of a block.

    Under overload hundreds of requests stand in line for the event loop that classifies, and what asks there with them.
    """

    def __init__(self, guard: GuardService, *, host: str, port: int) -> None:
        """Args: whom to speak for, and where to listen.

        Raises:
            SystemExit: the address cannot be listened on.
        """
        app = Starlette(routes=[Route("/livez", livez), Route("/readyz", readyz), Route("/metrics", metrics)])
        app.state.guard = guard
        config = quiet(app, host=host, port=port, loop="asyncio", lifespan="off")
        self._socket = config.bind_socket()
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name="probes", daemon=True
        )

    def __enter__(self) -> "ProbeServer":
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End, once what is under way is answered."""
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()
