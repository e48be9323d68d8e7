"""uvicorn server that stops in order: it is not ready, then takes no more requests, then ends."""

import gc
import signal
import socket
import sys
import time
from contextlib import ExitStack
from types import FrameType

import structlog

from service.guard_service import GuardService
from service.http.app import create_app
from service.http.connections.bounded_server import BoundedServer
from service.http.connections.clients import connections_possible
from service.http.connections.refusal import Refusal
from service.http.connections.url import url_of
from service.http.probes import ProbeServer
from service.processes.turns import Turns
from service.watchdog import EXIT_STATUS, Watchdog

_SWITCH_SECONDS = 0.001
"""Longest time a thread keeps Python's lock while another thread wants it, in seconds.
It is a fifth of Python's own, since probes and the inference loop have little to do with the lock
and wait for it often."""
_GARBAGE = 20_000
"""Objects that may be left over before those that refer to each other are looked for.
Python's own 700 are reached every few requests, and hardly a request leaves any."""
_SPARE_SECONDS = 10.0
"""Seconds that a server without its inference loop may take to end, besides draining and closing."""


class Server(BoundedServer):
    """Server of a guard that drains before it stops.

    After SIGTERM it goes on answering for ``drain_seconds`` while ``/readyz`` says no and
    connections are closed with their next answer. Then it stops listening, finishes what is in
    flight and ends. Ctrl-C skips the first part, and so does a second signal.
    """

    def __init__(self, guard: GuardService, *, host: str, port: int, turns: Turns | None = None) -> None:
        """Make the server of a guard.

        Args:
            guard: guard to serve.
            host: address to listen on.
            port: TCP port to listen on.
            turns: turns among the processes that share the port; None where it is this one's alone.
        """
        settings = guard.settings
        super().__init__(
            create_app(guard),
            host=host,
            port=port,
            connections=connections_possible(settings.max_connections),
            refused=self._on_refused,
            turns=turns,
            timeout_graceful_shutdown=max(1, round(settings.grace_seconds)),
        )
        self._guard = guard
        self._stop_at: float | None = None

    def _on_refused(self, refusal: Refusal, peer: str | None) -> None:
        """Count and log what a connection refuses, which reaches no route."""
        self._guard.metrics.requests_rejected.labels(refusal.code).inc()
        structlog.get_logger().info(
            "refused", reason=refusal.code, detail=refusal.detail, peer=peer, status=refusal.status
        )

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Start to drain at the first SIGTERM; stop at any other signal."""
        seconds = self._guard.settings.drain_seconds
        if sig != signal.SIGTERM or self._guard.draining or not self.started or seconds == 0:
            self._guard.draining = True
            if self.should_exit and self.started:
                self.cut_off()  # uvicorn would leave requests to be cancelled, each with a traceback
            else:
                super().handle_exit(sig, frame)
            self._captured_signals.clear()  # uvicorn would raise these signals again after an orderly shutdown
            return
        self.drain()

    @property
    def draining(self) -> bool:
        """Whether the server is about to stop."""
        return self._guard.draining

    def drain(self) -> None:
        """Start to drain, and stop ``drain_seconds`` later; may be called from any thread."""
        if self._guard.draining:
            return
        self._guard.draining = True
        if self._turns is not None:
            self._turns.leave()
        self._stop_at = time.monotonic() + self._guard.settings.drain_seconds
        self.config.encoded_headers.append((b"connection", b"close"))

    async def on_tick(self, counter: int) -> bool:
        """Check ten times a second whether to stop."""
        if self._stop_at is not None:
            counter = 0  # makes uvicorn take over the changed header now
            if time.monotonic() >= self._stop_at:
                self.should_exit = True
        return await super().on_tick(counter)


def run(guard: GuardService, *, host: str, port: int) -> None:
    """Serve until a signal ends it, as ``Server`` describes.

    Where the server cannot listen or start, or an inference loop is lost, the process ends with an
    exit status other than 0.

    Args:
        guard: guard to serve.
        host: address to listen on.
        port: TCP port to listen on.
    """
    server = Server(guard, host=host, port=port)
    listening = server.config.bind_socket()  # first, since a failure here leaves nothing to stop
    with ExitStack() as stack:
        if guard.settings.probe_port is not None:
            stack.enter_context(ProbeServer(guard, host=host, port=guard.settings.probe_port))
        structlog.get_logger().info(
            "serving", url=url_of(listening), stores=guard.models.names, policy=guard.settings.policy
        )
        status = serve_on(listening, server, guard)
    structlog.get_logger().info("stopped")
    if status:
        sys.exit(status)


def serve_on(listening: socket.socket, server: Server, guard: GuardService) -> int:
    """Serve on a bound socket until a signal or a lost inference loop ends it.

    Args:
        listening: the socket.
        server: server of the guard.
        guard: guard to serve.

    Returns:
        The exit status of the process.
    """
    # Objects loaded by now stay. Searching all of them for garbage took a fifth of the time under
    # load.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GARBAGE, *gc.get_threshold()[1:])
    sys.setswitchinterval(_SWITCH_SECONDS)
    settings = guard.settings
    patience = settings.drain_seconds + 2 * settings.grace_seconds + _SPARE_SECONDS
    with Watchdog(lambda: guard.failed, server.drain, patience=patience) as watchdog:
        server.run(sockets=[listening])
    return EXIT_STATUS if watchdog.tripped else 0
