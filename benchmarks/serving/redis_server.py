"""A redis-server of the benchmark's own on a loopback port, and a slow way to it."""

import asyncio
import contextlib
import signal
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from benchmarks.serving.loopback_server import loopback_server
from evaluation.server import free_port
from mutant_guard.errors import GuardError


class RedisError(GuardError, RuntimeError):
    """Error for a redis-server that did not start."""


class RedisServer:
    """Server that is not started yet; ``kill`` ends it, whatever state it is in."""

    def __init__(self, binary: str, directory: Path) -> None:
        """Choose a port.

        Args:
            binary: path of the program redis-server.
            directory: directory that it runs in.
        """
        self._binary, self._directory = binary, directory
        self.port = free_port()
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        """URL for the guard."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self, *more: str) -> None:
        """Start the server, empty, and wait until it takes connections.

        Args:
            more: further options.

        Raises:
            RedisError: the server ended instead.
        """
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", *more]
        self._process = subprocess.Popen(
            [self._binary, *options, "--dir", str(self._directory)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        said = []
        for line in self._process.stdout or ():
            said.append(line)
            if "Ready to accept connections" in line:
                return
        raise RedisError(f"redis-server did not start: {''.join(said)}")

    def freeze(self) -> None:
        """Stop the process: from now on the kernel takes what is sent, and nothing answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let the process answer again."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End the process at once; what it held is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None:
            raise RedisError("redis-server is not running; start it first")
        self._process.send_signal(number)


class SlowWay:
    """Relay of bytes to a port that passes the answers on late.

    Attributes:
        seconds: delay of the answers, may be changed at any time.
        port: port that it listens on.
    """

    def __init__(self, to: int) -> None:
        """Prepare the relay to a port."""
        self._to = to
        self.seconds = 0.0
        self.port = 0

    @property
    def url(self) -> str:
        """URL for the guard."""
        return f"redis://127.0.0.1:{self.port}/0"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass one connection on, until either side ends it."""
        there, out = await asyncio.open_connection("127.0.0.1", self._to)
        try:
            await asyncio.gather(self._pass(reader, out, late=False), self._pass(there, writer, late=True))
        finally:
            out.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, late: bool) -> None:
        with contextlib.suppress(OSError):
            while content := await reader.read(65536):
                if late:
                    await asyncio.sleep(self.seconds)
                writer.write(content)
        writer.close()


@asynccontextmanager
async def slow_way(to: int) -> AsyncIterator[SlowWay]:
    """Run a relay to a port of this machine."""
    way = SlowWay(to)
    async with loopback_server(way.serve) as way.port:
        yield way


@contextmanager
def slow_way_in_a_thread(to: int) -> Iterator[SlowWay]:
    """Run a relay to a port of this machine, for callers without an event loop."""
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        ended, made = asyncio.Event(), threading.Event()
        ways: list[SlowWay] = []

        async def serve() -> None:
            async with slow_way(to) as way:
                ways.append(way)
                made.set()
                await ended.wait()

        thread = threading.Thread(target=runner.run, args=(serve(),), name="slow way")
        thread.start()
        made.wait()
        try:
            yield ways[0]
        finally:
            loop.call_soon_threadsafe(ended.set)
            thread.join()
