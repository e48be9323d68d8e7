"""A bounded server with an application of its own, and clients that say what they like."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

import anyio
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from service.http.connections.bounded_server import BoundedServer
from service.http.headers import SecurityHeaders

Endpoint = Callable[[Request], Awaitable[Response]]


async def lengths(request: Request) -> Response:
    """Answer with the path and the number of bytes of the body."""
    return PlainTextResponse(f"{request.url.path} {len(await request.body())}\n")


@dataclass
class Running:
    """Server that runs in this process."""

    server: BoundedServer
    refused: Counter[str] = field(default_factory=Counter)
    clients: list[asyncio.StreamWriter] = field(default_factory=list)

    @property
    def port(self) -> int:
        port: int = self.server.servers[0].sockets[0].getsockname()[1]
        return port

    @property
    def connections(self) -> int:
        return len(self.server._clients)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.clients.append(writer)
        return reader, writer

    async def say(self, *parts: bytes) -> bytes:
        """Send parts over a connection of their own, and return all that comes back until it ends."""
        reader, writer = await self.connect()
        for part in parts:
            writer.write(part)
            await asyncio.sleep(0.01)
        return await everything(reader)


async def everything(reader: asyncio.StreamReader) -> bytes:
    with anyio.fail_after(20):
        return await reader.read(-1)


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """Event loop of the probe port, and that of the port that classifies."""
    return "asyncio", {"use_uvloop": request.param}


Run = Callable[..., AbstractAsyncContextManager[Running]]


@pytest.fixture
def running() -> Run:
    """Function that runs a server of an endpoint, with at most so many connections."""

    @asynccontextmanager
    async def run(endpoint: Endpoint = lengths, connections: int = 100) -> AsyncIterator[Running]:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await (await endpoint(Request(scope, receive)))(scope, receive, send)

        refused: Counter[str] = Counter()
        server = BoundedServer(
            SecurityHeaders(app),
            host="127.0.0.1",
            port=0,
            connections=connections,
            refused=lambda refusal, peer: refused.update([refusal.code]),
            lifespan="off",
            timeout_graceful_shutdown=1,
        )
        serving = asyncio.ensure_future(server.serve())
        with anyio.fail_after(10):
            while not server.started:
                await asyncio.sleep(0.005)
        found = Running(server, refused)
        try:
            yield found
        finally:
            for client in found.clients:
                client.transport.abort()
            server.should_exit = True
            await serving

    return run
