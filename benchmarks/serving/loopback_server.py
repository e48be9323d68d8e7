"""TCP server on a loopback port that leaves no connection open at its end."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager


@asynccontextmanager
async def loopback_server(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    """Serve on a free port during the block, and cancel what still serves at its end.

    ``asyncio.start_server`` takes connections in tasks of its own: one that is cancelled before its first
    step leaves its socket open.

    Args:
        serve: serves a connection, which is closed afterwards.

    Yields:
        The port.
    """
    loop = asyncio.get_running_loop()
    serving: set[asyncio.Task[None]] = set()

    async def serve_and_close(connection: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=connection)
        try:
            await serve(reader, writer)
        finally:
            writer.close()

    def accept() -> None:
        connection, _ = listener.accept()
        # asyncio does this for connections that it accepts itself; without it, answers in parts are late.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = loop.create_task(serve_and_close(connection))
        serving.add(task)
        task.add_done_callback(serving.discard)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        loop.add_reader(listener, accept)
        try:
            yield int(listener.getsockname()[1])
        finally:
            loop.remove_reader(listener)
            await asyncio.sleep(0)  # starts the tasks of the connections accepted last
            for task in serving:
                task.cancel()
            await asyncio.gather(*serving, return_exceptions=True)
            await asyncio.sleep(0)  # closes the sockets
