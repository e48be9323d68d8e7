"""A uvicorn server that leaves in order: first it is not ready, then it takes no more, then it ends."""

import asyncio
import gc
import signal
import socket
import sys
import time
from contextlib import ExitStack
from functools import partial
from types import FrameType

import structlog
import uvicorn
from uvicorn.config import STARTUP_FAILURE

from service.guard_service import GuardService
from service.http.app import create_app
from service.http.listener import Listener
from service.http.probes import ProbeServer
from service.http.quiet import quiet

_SWITCH_SECONDS = 0.001
"""How long a thread keeps Python's lock while another wants it: a fifth of Python's own, as probes and the inference
loop have little to do with it and wait for it often."""


class Server(uvicorn.Server):
    """On SIGTERM goes on answering for ``drain_seconds`` while ``/readyz`` says no and connections are closed with the
    next answer; then stops listening, finishes what is in flight and ends. Ctrl-C skips the first part, a second
    signal as well.
    """

    def __init__(self, guard: GuardService, *, host: str, port: int) -> None:
        """Args: whom to serve, and where to listen."""
        grace = max(1, round(guard.settings.grace_seconds))
        super().__init__(quiet(create_app(guard), host=host, port=port, timeout_graceful_shutdown=grace))
        self._guard = guard
        self._stop_at: float | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen with a ``Listener``; otherwise as uvicorn does it.

        Raises:
            SystemExit: the application does not start, or the address cannot be listened on.
        """
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            sys.exit(STARTUP_FAILURE)
        config = self.config
        (listening,) = sockets or [config.bind_socket()]
        listening.listen(config.backlog)
        protocol = partial(  # type: ignore[call-arg]
            config.http_protocol_class,
            config=config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )
        self.servers = [Listener(listening, protocol, asyncio.get_running_loop())]  # type: ignore[list-item]
        self.started = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first SIGTERM begins to drain; see the class."""
        seconds = self._guard.settings.drain_seconds
        if sig != signal.SIGTERM or self._guard.draining or not self.started or seconds == 0:
            self._guard.draining = True
            super().handle_exit(sig, frame)
            self._captured_signals.clear()  # uvicorn would raise them again after a shutdown in order
            return
        self._guard.draining = True
        self._stop_at = time.monotonic() + seconds
        self.config.encoded_headers.append((b"connection", b"close"))

    async def on_tick(self, counter: int) -> bool:
        """Whether to stop, asked ten times a second."""
        if self._stop_at is not None:
            counter = 0  # for uvicorn to take over the header now
            if time.monotonic() >= self._stop_at:
                self.should_exit = True
        return await super().on_tick(counter)


def run(guard: GuardService, *, host: str, port: int) -> None:
    """Serve until a signal ends it; see ``Server``. Ends the process with another status than 0 where it cannot
    listen or start.
    """
    server = Server(guard, host=host, port=port)
    listening = server.config.bind_socket()  # before anything starts that would have to be stopped again
    with ExitStack() as stack:
        if guard.settings.probe_port is not None:
            stack.enter_context(ProbeServer(guard, host=host, port=guard.settings.probe_port))
        # What is loaded by now stays: looking through all of it for garbage took a fifth of the time under load.
        gc.collect()
        gc.freeze()
        sys.setswitchinterval(_SWITCH_SECONDS)
        server.run(sockets=[listening])
    structlog.get_logger().info("stopped")
