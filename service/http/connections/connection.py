"""HTTP connection of uvicorn, with limits on what a client may send, in size and in time."""

import re
import select
from collections.abc import Callable
from typing import Any

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from service.http.connections.clients import Clients, Wait
from service.http.connections.intake import INTAKE, Intake
from service.http.connections.refusal import Refusal

_HEAD_BYTES = 1 << 16
"""Most bytes of a request's first line and headers together."""
_HEADERS = 128
"""Most headers of a request; each takes more memory than its bytes."""
_URL_BYTES = 1 << 13
"""Most bytes of a request's URL."""
_PIECE_BYTES = 1 << 12
"""Bytes that the parser is given in one go where the end of a message is not known. It may hold
many requests."""
_PIPELINE = 16
"""Most requests that wait for the answers to earlier ones of their connection."""
_UPGRADE = re.compile(rb"\r\nupgrade:", re.IGNORECASE)
_HEAD_END = b"\r\n\r\n"
_TOO_LARGE = f"the headers are longer than {_HEAD_BYTES:,} bytes, or more than {_HEADERS}; send fewer"
_NOT_HTTP = "this is no HTTP/1.1 request; send one, to an http:// address"

Refused = Callable[[Refusal, str | None], None]
"""Reports a refusal and the client's address."""


class _Flow(FlowControl):
    """Flow control that goes on reading only once the answers to earlier requests are sent."""

    held = False

    def resume_reading(self) -> None:
        if not self.held:
            super().resume_reading()


class _Transport:
    """Transport whose closing waits for a client that is still sending, so that it reads its answer.

    Closed with data unread, a connection is reset, and the client may lose the answer with it.
    """

    def __init__(self, connection: "Connection", transport: Any) -> None:
        self.write, self.abort = transport.write, transport.abort
        self._connection, self._transport = connection, transport
        self.fileno = transport.get_extra_info("socket").fileno()
        self.closing = False

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        if self.closing:
            return
        if self._connection.receiving and self._transport.can_write_eof():
            self.closing = True
            self._transport.write_eof()
            self._transport.resume_reading()
            self._connection.settle()
        else:
            self.close_now()

    def close_now(self) -> None:
        self.closing = True
        self._transport.close()
        self._connection.settle()


class Connection(HttpToolsProtocol):
    """Connection with bounds on heads, URLs, pipelines, and the time that its client takes.

    What a client sends too early waits unread until the answers to its earlier requests are sent.

    Attributes:
        wait: what the connection waits for its client to do; set by its ``Clients``.
        receiving: whether a request has begun and has not arrived in full.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        *,
        clients: Clients,
        refused: Refused,
    ) -> None:
        """Make the protocol of a connection that is not there yet.

        Args:
            config: configuration of the server.
            server_state: state of the server.
            app_state: state of the application.
            clients: connections of the server.
            refused: reports a refusal made here.
        """
        super().__init__(config=config, server_state=server_state, app_state=app_state)
        self.wait: Wait | None = None
        self.receiving = False
        self._clients, self._refused = clients, refused
        self._in_head, self._is_new, self._is_deaf = False, True, False
        self._without_body = self._body_left = 0  # bytes: come since the last of a body; to come
        self._intake = Intake(clients.give_up_body)
        self._held = b""

    def connection_made(self, transport: Any) -> None:
        """Count the connection, and wait for the head of a request."""
        super().connection_made(transport)
        self.transport = self._closer = _Transport(self, transport)  # type: ignore[assignment]
        self.flow = self._flow = _Flow(transport)
        self._clients.coming -= 1
        self._clients.came(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._closer.closing = True
        self._clients.went(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came, unless it comes before the answers to earlier requests are sent."""
        if self._closer.closing or self._is_deaf:
            return
        if self._held:
            self._hold(data)
        else:
            self._take(data)

    def _take(self, data: bytes) -> None:
        """Give the parser piece after piece, so that it never meets many requests at once."""
        at, view = 0, memoryview(data)
        try:
            while at < len(data):
                if self._is_answering and not self.receiving:
                    self._hold(data[at:])
                    break
                piece = view[at : at + self._step(data, at)]
                at += len(piece)
                self.parser.feed_data(
                    piece if self.receiving and not self._in_head else _without_upgrade(piece)
                )
                if self.receiving and not self._body_left:
                    self._without_body += len(piece)
                    if self._without_body > _HEAD_BYTES:
                        raise Refusal(431, "headers-too-large", _TOO_LARGE)
        except httptools.HttpParserUpgrade:
            self._end_after_answer()  # what follows is another protocol, which is not spoken here
        except httptools.HttpParserError as error:
            self._refuse(
                error.__context__
                if isinstance(error.__context__, Refusal)
                else Refusal(400, "bad-request", _NOT_HTTP)
            )
        except Refusal as refusal:
            self._refuse(refusal)
        self.settle()

    def _step(self, data: bytes, at: int) -> int:
        """Return how many bytes to parse next: to the end of a head or body, where that is known."""
        if self._body_left:
            return self._body_left
        if self.receiving and not self._in_head:
            return _PIECE_BYTES  # of a body in chunks
        end = data.find(_HEAD_END, at, at + _PIECE_BYTES)
        return _PIECE_BYTES if end < 0 else end + len(_HEAD_END) - at

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def settle(self) -> None:
        """Note what the connection waits for now."""
        wait: Wait | None
        if self._closer.closing:
            wait = Wait.CLOSING
        elif self.flow.write_paused:
            wait = Wait.UNREAD
        elif self.receiving:
            wait = Wait.HEAD if self._in_head else Wait.BODY
        elif self._is_answering:
            wait = None
        else:
            wait = Wait.HEAD if self._is_new else Wait.IDLE
        self._clients.waits(self, wait)

    def _hold(self, data: bytes) -> None:
        self._held += data
        self._flow.pause_reading()
        self._flow.held = True

    def _go_on(self) -> None:
        held, self._held = self._held, b""
        self._flow.held = False
        if not self._closer.closing:
            self._flow.resume_reading()
            self._take(held)

    def on_message_begin(self) -> None:
        """Start a request."""
        self.receiving = self._in_head = True
        if len(self.pipeline) >= _PIPELINE:
            raise Refusal(400, "bad-request", "too many requests before the first answer; wait for answers")
        super().on_message_begin()
        self._is_new, self._without_body, self._intake = False, 0, Intake(self._clients.give_up_body)

    def on_url(self, url: bytes) -> None:
        """Take a part of the URL."""
        super().on_url(url)
        if len(self.url) > _URL_BYTES:
            raise Refusal(
                414, "url-too-long", f"the URL is longer than {_URL_BYTES:,} bytes; send a shorter one"
            )

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; those that follow a body in chunks are left out."""
        if self._in_head:
            super().on_header(name, value)
            if len(self.headers) > _HEADERS:
                raise Refusal(431, "headers-too-large", _TOO_LARGE)

    def on_headers_complete(self) -> None:
        """Pass a request on whose head has come."""
        hosts = 0
        for name, value in self.headers:
            if name == b"host":
                hosts += 1
            elif name == b"content-length":
                self._body_left = int(value)
        if hosts > 1 or (hosts == 0 and self.parser.get_http_version() == "1.1"):
            raise Refusal(400, "bad-request", "a request names its server once; send one Host header")
        self.scope[INTAKE] = self._intake  # type: ignore[literal-required]
        super().on_headers_complete()
        self._in_head, self._without_body = False, 0

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._without_body = 0
        if self._body_left:
            self._body_left -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that the request has arrived."""
        self.receiving, self._intake.complete = False, True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Start the next request that has come, or wait for one."""
        self.server_state.total_requests += 1
        if self._closer.closing:
            return
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._held:
            self.loop.call_soon(self._go_on)
        else:
            self._flow.resume_reading()
        self.settle()

    def pause_writing(self) -> None:
        """Wait for the client to read."""
        super().pause_writing()
        self.settle()

    def resume_writing(self) -> None:
        """Go on writing."""
        super().resume_writing()
        self.settle()

    def shutdown(self) -> None:
        """Close, once the answer under way is sent."""
        if self._closer.closing:
            self._closer.abort()
        else:
            super().shutdown()

    def has_unread(self) -> bool:
        """Check whether the client has sent what has not been read yet."""
        poll = select.poll()
        poll.register(self._closer.fileno, select.POLLIN)
        return bool(poll.poll(0))

    def give_up(self, wait: Wait) -> None:
        """Close now, and say why where the client is within a request."""
        if wait in (Wait.CLOSING, Wait.UNREAD):
            self._closer.abort()
            return
        if self.receiving and not self._is_deaf:
            self._refuse(
                Refusal(408, "slow-request", "the request did not come in time; send it again, faster")
            )
        if not (self._in_head and self._is_answering):
            self._closer.close_now()

    def _end_after_answer(self) -> None:
        self._is_deaf = True
        self.cycle.keep_alive = False

    def _refuse(self, refusal: Refusal) -> None:
        """Answer with a refusal, after which nothing more is read."""
        peer = None if self.client is None else self.client[0]
        self._refused(refusal, peer)
        cycle, in_body = self.cycle, self.receiving and not self._in_head
        if self._is_answering and not in_body:
            self._end_after_answer()  # its refusal would be read as the answer to an earlier request
            return
        if in_body and (self.pipeline or cycle.response_started):
            self._closer.close_now()
            return
        if in_body:
            cycle.disconnected = True  # whoever reads the body learns that no more comes
            cycle.message_event.set()
        self._is_deaf = True
        self._closer.write(refusal.answer(self.server_state.default_headers))
        self._closer.close()


def _without_upgrade(head: memoryview) -> bytes:
    """Return a head whose wish for another protocol the parser does not see.

    It would take the body for that protocol; a server may ignore the wish. Java's client has it by
    default.
    """
    text = bytes(head)
    return _UPGRADE.sub(b"\r\nx-upgrade:", text) if b"grade" in text.lower() else text
