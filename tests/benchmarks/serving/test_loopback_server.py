"""Tests that a loopback server ends without a connection that is left open."""

import asyncio
import contextlib
import gc
import socket
import threading
import warnings

from benchmarks.serving.loopback_server import loopback_server


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while part := await reader.read(1000):
        writer.write(part)
        await writer.drain()


async def echoed(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return a connection that was answered once."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"a")
    assert await reader.read(10) == b"a"
    return reader, writer


def test_a_connection_is_served_and_then_closed() -> None:
    async def talk() -> bytes:
        async with loopback_server(echo) as port:
            reader, writer = await echoed(port)
            writer.write_eof()
            rest = await reader.read(10)
            writer.close()
            return rest

    assert asyncio.run(talk()) == b""


def test_a_connection_that_is_still_open_is_closed_at_the_end() -> None:
    async def talk() -> bytes:
        async with loopback_server(echo) as port:
            reader, writer = await echoed(port)
        rest = await reader.read(10)
        writer.close()
        return rest

    assert asyncio.run(talk()) == b""


def test_what_connects_while_the_server_ends_is_closed_too() -> None:
    async def serve_shortly() -> None:
        async with loopback_server(echo) as port:
            ports.append(port)
            serving.set()
            await asyncio.sleep(0.005)

    def knock() -> None:
        serving.wait(5)
        with contextlib.suppress(OSError):  # the server has ended
            while True:
                socket.create_connection(("127.0.0.1", ports[-1]), 1).close()

    gc.collect()  # what earlier tests left says nothing here
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        for _ in range(20):
            ports: list[int] = []
            serving = threading.Event()
            knocking = threading.Thread(target=knock)
            knocking.start()
            asyncio.run(serve_shortly())
            knocking.join()
        gc.collect()
    assert [str(one.message) for one in caught] == []
