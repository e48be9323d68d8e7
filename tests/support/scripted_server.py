"""An HTTP server on a real socket that answers as it is told, for what a real one does only in distress."""

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import parse_headers
from io import BytesIO

Answer = bytes | Iterator[bytes] | None
"""The bytes of an answer, or its parts as they are to be sent; None to close the connection without a word."""


def answer(
    status: int,
    body: bytes = b"",
    media_type: str = "application/json",
    **headers: str,
) -> bytes:
    """An answer; headers with underscores for dashes."""
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", f"Content-Type: {media_type}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def problem(status: int, code: str, detail: str = "in words", **headers: str) -> bytes:
    """An answer as mutant-guard refuses."""
    body = f'{{"type":"urn:mutant-guard:problem:{code}","title":"X","status":{status},"detail":"{detail}"}}'
    return answer(status, body.encode(), "application/problem+json", **headers)


@dataclass(frozen=True)
class Request:
    """What a client sent."""

    method: str
    path: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes


@dataclass
class ScriptedServer:
    """Gives one answer after another, the last of them again and again, and remembers what it was asked."""

    port: int
    script: Sequence[Answer | Callable[[Request], Answer]]
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    most_at_once: int = 0
    _at_once: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def serve(self, connection: socket.socket) -> None:
        """Answer what comes over a connection until either side closes it."""
        with connection, connection.makefile("rb") as lines:
            while line := lines.readline():
                method, path, _ = line.decode().split()
                head = b""
                while (part := lines.readline()) not in (b"\r\n", b""):
                    head += part
                headers = {
                    name.lower(): value for name, value in parse_headers(BytesIO(head + b"\r\n")).items()
                }
                length = int(headers.get("content-length", 0))
                body = lines.read(length)
                if len(body) < length:
                    return
                request = Request(method, path, headers, body)
                said = self._answer(request)
                if said is None:
                    return
                if not isinstance(said, bytes):
                    for part in said:
                        connection.sendall(part)
                    return
                connection.sendall(said)

    def _answer(self, request: Request) -> Answer:
        with self._lock:
            line = self.script[min(len(self.requests), len(self.script) - 1)]
            self.requests.append(request)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            return line(request) if callable(line) else line
        finally:
            with self._lock:
                self._at_once -= 1


@contextmanager
def scripted(*script: Answer | Callable[[Request], Answer]) -> Iterator[ScriptedServer]:
    """A server that answers so, on a loopback port."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        server = ScriptedServer(int(listener.getsockname()[1]), script)
        open_connections: list[socket.socket] = []
        threads: list[threading.Thread] = []

        def run(connection: socket.socket) -> None:
            with suppress(OSError):  # the client went away, or the test is over
                server.serve(connection)

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                server.connections += 1
                open_connections.append(connection)
                threads.append(threading.Thread(target=run, args=(connection,)))
                threads[-1].start()

        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield server
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join(10)
            for connection in open_connections:
                with suppress(OSError):  # it is over already
                    connection.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join(10)
