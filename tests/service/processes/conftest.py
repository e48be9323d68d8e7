"""Servers of several real processes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.process import Server, serve
from tests.support.service import free_port

PROCESSES = 2


def processes_of(server: Server) -> list[int]:
    """Return the ids of the processes that serve."""
    pid = server.process.pid
    return [int(found) for found in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def sockets_of(pid: int) -> int:
    """Return the number of sockets that a process has open."""
    folder = Path(f"/proc/{pid}/fd")
    return sum(str(entry.readlink()).startswith("socket:") for entry in folder.iterdir())


@contextmanager
def shared(store: Path, log: Path, **variables: str) -> Iterator[Server]:
    """Yield a server of two processes that draws its own order key and keeps no verdicts."""
    fixed = {"GUARD_PROCESSES": f"{PROCESSES}", "GUARD_ORDER_KEY": "", "GUARD_CACHE_SECONDS": "0"}
    no_file = {"GUARD_ORDER_KEY_FILE": "/proc/there-can-be-none"}
    with serve(store, log, **fixed | no_file | variables) as server:
        yield server


@pytest.fixture(scope="module")
def probe_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def server(demo_store: Path, tmp_path_factory: pytest.TempPathFactory, probe_port: int) -> Iterator[Server]:
    """Server of two processes, for tests that leave it as it is."""
    log = tmp_path_factory.mktemp("shared") / "log"
    with shared(demo_store, log, GUARD_PROBE_PORT=f"{probe_port}") as server:
        yield server
