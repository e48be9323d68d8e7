"""Server process of mutant-guard: ``mutant-guard serve`` on a loopback port."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.support.service import KEY

COMMAND = str(Path(sys.executable).parent / "mutant-guard")
START_SECONDS = 60


@dataclass(frozen=True)
class Server:
    """Running ``mutant-guard serve``."""

    process: "subprocess.Popen[bytes]"
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def events(self) -> list[dict[str, object]]:
        """Log lines of the server so far."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]


def environment(**changes: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GUARD_")}
    return kept | {"GUARD_ORDER_KEY": KEY, "GUARD_THREADS": "1", "GUARD_DEVICE": "cpu"} | changes


@contextmanager
def serve(store: Path, log: Path, *, program: str | None = None, **variables: str) -> Iterator[Server]:
    """Yield a server with these environment variables as further settings.

    A program is Python that runs in place of the command, with the same arguments.
    """
    given = [] if "GUARD_STORE" in variables else ["--store", str(store)]
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [
                *([COMMAND] if program is None else [sys.executable, "-c", program]),
                "serve",
                *given,
                "--port",
                "0",
            ],
            stderr=stderr,
            env=environment(GUARD_LOG_FORMAT="json", **variables),
        )
    try:
        yield Server(process, _port_of(process, log), log)
    finally:
        process.kill()
        process.wait()


def _port_of(process: "subprocess.Popen[bytes]", log: Path) -> int:
    """Return the port that a server chose, once it is ready.

    A port chosen before could be another process's by the time the server listens.
    """
    give_up = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up:
        assert process.poll() is None, log.read_text()
        try:
            said = [
                json.loads(line) for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")
            ]
            url = next(str(event["url"]) for event in said if event.get("event") == "serving")
            if httpx.get(f"{url}/readyz", trust_env=False).status_code == 200:
                return int(url.rpartition(":")[2])
        except (StopIteration, httpx.TransportError):
            pass
        time.sleep(0.05)  # no other sign tells that a process listens
    raise AssertionError(f"the server is not ready after {START_SECONDS} s: {log.read_text()}")
