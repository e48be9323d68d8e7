"""Real server processes for measurements: sockets on loopback."""

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from mutant_guard.errors import GuardError

ORDER_KEY = "the key of published figures"
"""Key of the order of the mutants; a fixed one lets figures be measured again."""

_START_SECONDS = 60.0
_STOP_SECONDS = 30.0


class ServerError(GuardError, RuntimeError):
    """Error for a server that did not start."""


@dataclass(frozen=True)
class Server:
    """Server that runs, on a loopback port."""

    process: "subprocess.Popen[bytes]"
    port: int

    @property
    def url(self) -> str:
        """Base URL of the server."""
        return f"http://127.0.0.1:{self.port}"

    def pause(self) -> None:
        """Pause all processes of the server, so that none takes a core from others."""
        os.killpg(self.process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let the paused processes go on."""
        os.killpg(self.process.pid, signal.SIGCONT)


@contextmanager
def served(store: Path, *, policy: str, **settings: str) -> Iterator[str]:
    """Serve a store as ``serving`` does, and yield its base URL."""
    with serving(store, policy=policy, **settings) as server:
        yield server.url


@contextmanager
def serving(store: Path, *, policy: str, **settings: str) -> Iterator[Server]:
    """Serve a store on a free loopback port for the length of the block.

    Args:
        store: directory of the store.
        policy: policy of the verdict.
        settings: further GUARD_ settings by lower-case name.

    Yields:
        The server, once it is ready.

    Raises:
        ServerError: the server ended or did not become ready within a minute.
    """
    port = free_port()
    program = str(Path(sys.executable).with_name("mutant-guard"))
    command = [program, "serve", "--store", str(store), "--policy", policy, "--port", str(port)]
    environment = {f"GUARD_{name.upper()}": value for name, value in settings.items()}
    with started(command, port, environment=environment) as server:
        yield server


@contextmanager
def started(
    command: Sequence[str],
    port: int,
    *,
    environment: Mapping[str, str] | None = None,
    ready: str = "/readyz",
    within: float = _START_SECONDS,
    cwd: Path | None = None,
) -> Iterator[Server]:
    """Run any server for the length of the block.

    Args:
        command: command that starts it.
        port: loopback port that it is to listen on.
        environment: variables beside those of this process.
        ready: path that answers 200 once it is ready.
        within: seconds until then at most.
        cwd: working directory.

    Yields:
        The server, once it is ready.

    Raises:
        ServerError: it ended or did not become ready in time.
    """
    process = subprocess.Popen(
        command,
        env=os.environ | (environment or {}),
        cwd=cwd,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # a group of its own, with whatever processes it starts
    )
    server = Server(process, port)
    shown = shlex.join([*(f"{name}={value}" for name, value in (environment or {}).items()), *command])
    try:
        _wait_until_ready(server, f"{server.url}{ready}", within, shown)
        yield server
    finally:
        _stop(server)


def free_port() -> int:
    """Return a loopback port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _stop(server: Server) -> None:
    if server.process.poll() is None:
        server.resume()
        server.process.terminate()
        try:
            server.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            server.process.kill()
            server.process.wait()
    with suppress(ProcessLookupError):  # processes that it may have left running
        os.killpg(server.process.pid, signal.SIGKILL)


def _wait_until_ready(server: Server, url: str, within: float, command: str) -> None:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            raise ServerError(
                f"the server ended with status {server.process.returncode}; see why: env {command}"
            )
        try:
            if httpx.get(url, timeout=1, trust_env=False).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise ServerError(f"the server was not ready within {within:g} s; see why: env {command}")
