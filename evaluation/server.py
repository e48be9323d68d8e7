"""A real server process for measurements: uvicorn and sockets on loopback."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

ORDER_KEY = "the key of published figures"
"""The order of the mutants depends on the key; a fixed one lets figures be measured again."""

_START_SECONDS = 60.0
_STOP_SECONDS = 30.0


@contextmanager
def served(store: Path, *, policy: str, **settings: str) -> Iterator[str]:
    """Serve a store on a free loopback port for the length of the block.

    Args:
        store: directory of the store.
        policy: policy of the verdict.
        settings: further GUARD_ settings by lower-case name.

    Yields:
        The server's base URL, once it is ready.

    Raises:
        RuntimeError: the server ended or did not become ready within a minute.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    program = str(Path(sys.executable).with_name("mutant-guard"))
    command = [program, "serve", "--store", str(store), "--policy", policy, "--port", str(port)]
    environment = os.environ | {f"GUARD_{name.upper()}": value for name, value in settings.items()}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        _wait_until_ready(url, process)
        yield url
    finally:
        process.terminate()
        process.wait(_STOP_SECONDS)


def _wait_until_ready(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(
                f"the server ended with status {process.returncode}; run mutant-guard serve to see why"
            )
        try:
            if httpx.get(f"{url}/readyz", timeout=1).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise RuntimeError(f"the server was not ready within {_START_SECONDS:g} s")
