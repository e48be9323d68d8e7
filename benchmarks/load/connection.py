"""One connection with at most one request under way."""

import asyncio
import re
from typing import NamedTuple, cast

HOST = "127.0.0.1"

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection:[ \t]*close", re.IGNORECASE)
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")
_END = b"\r\n\r\n"


class LostError(Exception):
    """Error for a request that was sent and got no whole answer."""


class RefusedError(Exception):
    """Error for a connection that could not be opened, so that no request was sent."""


class Answer(NamedTuple):
    """Answer of a server."""

    status: int
    body: bytes


class Connection(asyncio.Protocol):
    """Socket to a server on the loopback, as light as it can be in Python.

    Attributes:
        open: whether a further request may be sent.
    """

    def __init__(self) -> None:
        self.open = False
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._answer: asyncio.Future[Answer] | None = None

    @classmethod
    async def to(cls, port: int) -> "Connection":
        """Connect to a port of the loopback.

        Raises:
            RefusedError: the server does not take connections.
        """
        try:
            _, connection = await asyncio.get_running_loop().create_connection(cls, HOST, port)
        except OSError as error:
            raise RefusedError(str(error)) from error
        return connection

    async def ask(self, request: bytes) -> Answer:
        """Send a request and wait for its answer.

        Raises:
            LostError: the connection was closed before a whole answer, or this client cannot read
                the answer.
        """
        if self._transport is None or not self.open:
            raise LostError("the connection was closed before the request")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        try:
            return await self._answer
        finally:
            self._answer = None

    def close(self) -> None:
        """Close the connection."""
        self.open = False
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; the event loop calls this."""
        self._transport, self.open = cast(asyncio.Transport, transport), True  # uvloop's has no base class

    def data_received(self, data: bytes) -> None:
        """Read what came; the event loop calls this."""
        self._received += data
        end = self._received.find(_END)
        if end < 0:
            return
        status, length = _STATUS.match(self._received), _LENGTH.search(self._received, 0, end)
        if status is None or length is None:
            self._fail(f"no answer with a status and a length: {self._received[:80]!r}")
            return
        start = end + len(_END)
        if len(self._received) < (stop := start + int(length[1])):
            return
        if len(self._received) > stop or self._answer is None or self._answer.done():
            self._fail("more came than was asked for")
            return
        if _CLOSE.search(self._received, 0, end):
            self.open = False
        answer, self._received = Answer(int(status[1]), self._received[start:]), b""
        self._answer.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the request under way; the event loop calls this."""
        self._fail(str(exc) if exc is not None else "the server closed the connection without an answer")

    def _fail(self, reason: str) -> None:
        self.close()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(LostError(reason))
