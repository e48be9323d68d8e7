"""HTTP server on a real socket with scripted answers, for what a real one does only in distress."""

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import parse_headers
from io import BytesIO

Answer = bytes | Iterator[bytes] | None
"""Bytes of an answer, or its parts in the order they are sent.

None closes the connection without an answer.
"""


def answer(
    status: int,
    body: bytes = b"",
    media_type: str = "application/json",
    **headers: str,
) -> bytes:
    """Return the bytes of an answer; names of headers have underscores for dashes."""
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", f"Content-Type: {media_type}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def problem(status: int, code: str, detail: str = "in words", **headers: str) -> bytes:
    """Return a refusal as mutant-guard sends it."""
    body = f'{{"type":"urn:mutant-guard:problem:{code}","title":"X","status":{status},"detail":"{detail}"}}'
    return answer(status, body.encode(), "application/problem+json", **headers)


@dataclass(frozen=True)
class Request:
    """Request that a client sent."""

    method: str
    path: str
    headers: dict[str, str]
    """Values by name in lower case."""
    body: bytes


@dataclass
class ScriptedServer:
    """Server that gives one answer after another, repeats the last, and remembers its requests."""

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
        """Answer the requests of a connection until either side closes it."""
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
    """Yield a server with these answers, on a loopback port."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        server = ScriptedServer(int(listener.getsockname()[1]), script)
        open_connections: list[socket.socket] = []
        threads: list[threading.Thread] = []

        def run(connection: socket.socket) -> None:
            with suppress(OSError):  # the client went away, or the test has ended
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
                with suppress(OSError):  # the connection is closed already
                    connection.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join(10)
