"""Vital signs of a server under load: its memory, and how soon its probes answer."""

import asyncio
import os
import threading
from array import array
from collections import Counter
from pathlib import Path
from time import perf_counter
from types import TracebackType

import uvloop

from benchmarks.load.connection import Connection, LostError, RefusedError
from benchmarks.load.plan import get
from benchmarks.load.report import Latencies

PATHS = ("/livez", "/readyz")

_OK = 200


def resident(pid: int) -> int:
    """Return the bytes of memory that a process and those it started have now."""
    return sum(1024 * int(_status(one)["VmRSS"].split()[0]) for one in _family(pid))


def processor_seconds(pid: int) -> float:
    """Return the processor time that a process and those it started have taken so far, in seconds."""
    ticks = 0
    for one in _family(pid):
        after_name = Path(f"/proc/{one}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        ticks += int(after_name[11]) + int(after_name[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return dict(line.split(":", 1) for line in lines)


def _family(pid: int) -> list[int]:
    """Return the ids of a process and of those that its main thread started."""
    return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split())]


class Probes:
    """Client that asks every probe at fixed times for the length of a block.

    Each probe has a connection of its own.

    Attributes:
        failures: number of probes that were not answered with 200, by what came instead.
    """

    def __init__(self, port: int, every: float = 0.1) -> None:
        """Prepare the client.

        Args:
            port: port that the server listens on.
            every: seconds between two probes of a path.
        """
        self.failures: Counter[str] = Counter()
        self._port, self._every = port, every
        self._seconds = {path: array("d") for path in PATHS}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="probes")

    def __enter__(self) -> "Probes":
        """Start asking."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop when the probes under way are answered."""
        self._stop.set()
        self._thread.join()

    def latencies(self, path: str) -> Latencies:
        """Return the latencies of one path, from when a probe was due; failures are left out."""
        return Latencies.of(self._seconds[path])

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._probe())

    async def _probe(self) -> None:
        due = perf_counter()
        async with asyncio.TaskGroup() as group:
            while not self._stop.is_set():
                for path in PATHS:
                    group.create_task(self._ask(path, due))
                due += self._every
                await asyncio.sleep(max(0.0, due - perf_counter()))

    async def _ask(self, path: str, due: float) -> None:
        try:
            connection = await Connection.to(self._port)
            answer = await connection.ask(get(path, self._port))
            connection.close()
        except (RefusedError, LostError) as error:
            self.failures[str(error)] += 1
            return
        if answer.status == _OK:
            self._seconds[path].append(perf_counter() - due)
        else:
            self.failures[f"{path} answered {answer.status}"] += 1
