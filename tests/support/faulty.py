"""Server that treats every request as its path says, sockets included.

It is for tests of code that counts answers and losses.
"""

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from benchmarks.serving.loopback_server import loopback_server

SLOW_SECONDS = 0.08


class Faulty:
    """Server that counts connections and requests, and answers by path, as ``_answer`` shows.

    Attributes:
        port: TCP port that the server listens on.
        connections: number of accepted connections.
        requests: number of requests by path.
    """

    def __init__(self) -> None:
        self.port, self.connections = 0, 0
        self.requests: Counter[str] = Counter()
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: asyncio.Event | None = None

    def run(self) -> None:
        """Serve until ``stop``."""
        asyncio.run(self._serve())

    def wait(self) -> None:
        """Wait until the server listens."""
        assert self._ready.wait(5)

    def stop(self) -> None:
        """Stop the server, with whatever connections are open."""
        assert self._loop is not None
        assert self._end is not None
        self._loop.call_soon_threadsafe(self._end.set)

    async def _serve(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        async with loopback_server(self._connected) as self.port:
            self._ready.set()
            await self._end.wait()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while await self._answer(reader, writer):
                pass

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request, and return whether the connection goes on."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next((line for line in head.split("\r\n") if line.startswith("Content-Length:")), ":0")
        await reader.readexactly(int(length.split(":")[1]))
        path = head.split(" ")[1]
        self.requests[path] += 1
        number = self.requests[path]
        if path == "/never":
            await asyncio.sleep(60)
        if path == "/slow":
            await asyncio.sleep(SLOW_SECONDS)
        if path == "/drop" or (path == "/drop-third" and number % 3 == 0):
            return False
        content = b"" if path == "/no-length" else b"content-length: 2\r\n"
        status = {"/busy": 429, "/not-ready": 503}.get(path, 200)
        if path == "/ready-thrice" and number > 3:
            status = 503
        writer.write(b"HTTP/1.1 %d Whatever\r\n" % status + content + b"\r\n")
        if path == "/split":
            await writer.drain()
            await asyncio.sleep(0.01)
        writer.write({"/half": b"o", "/more": b"ok, and more"}.get(path, b"ok"))
        await writer.drain()
        return path not in ("/half", "/closing")


@contextmanager
def faulty_server() -> Iterator[Faulty]:
    """Run a server in a thread during the block."""
    server = Faulty()
    thread = threading.Thread(target=server.run)
    thread.start()
    server.wait()
    try:
        yield server
    finally:
        server.stop()
        thread.join(5)
