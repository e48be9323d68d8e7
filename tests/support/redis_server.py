"""A redis-server of our own on a loopback port, and a way to it that is slow."""

import asyncio
import contextlib
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.service import free_port


class RedisServer:
    """Not started yet."""

    def __init__(self, binary: str, directory: Path) -> None:
        self._binary, self._directory = binary, directory
        self.port = free_port()
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self, *more: str) -> None:
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", *more]
        self._process = subprocess.Popen(
            [self._binary, *options, "--dir", str(self._directory)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self._process.stdout is not None
        said = []
        for line in self._process.stdout:
            said.append(line)
            if "Ready to accept connections" in line:
                return
        raise AssertionError(f"redis-server did not start: {''.join(said)}")

    def freeze(self) -> None:
        """A black hole from now on: the kernel takes what is sent, and nobody answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


class SlowWay:
    """Passes bytes on to a port, the answers late by so many seconds."""

    def __init__(self, to: int) -> None:
        self._to = to
        self.seconds = 0.0
        self.port = 0

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, out = await asyncio.open_connection("127.0.0.1", self._to)
        try:
            await asyncio.gather(self._pass(reader, out, late=False), self._pass(there, writer, late=True))
        finally:
            out.close()
            writer.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, late: bool) -> None:
        with contextlib.suppress(OSError):
            while content := await reader.read(65536):
                if late:
                    await asyncio.sleep(self.seconds)
                writer.write(content)
        writer.close()


@asynccontextmanager
async def slow_way(to: int) -> AsyncIterator[SlowWay]:
    """A way to a port of this machine."""
    way = SlowWay(to)
    server = await asyncio.start_server(way.serve, "127.0.0.1", 0)
    way.port = server.sockets[0].getsockname()[1]
    try:
        yield way
    finally:
        server.close()
