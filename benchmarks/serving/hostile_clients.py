"""Clients that send too slowly, too much or too early: what they cost a server, and its other clients."""

import socket
import threading
import time
from array import array
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from benchmarks.figures import Figure
from benchmarks.sections import Section, Table
from benchmarks.serving import beside
from benchmarks.serving.vitals import resident
from benchmarks.subjects import ServedStore
from evaluation.server import free_port

_SECONDS = 8.0
"""Length of an attack, and of the measurements meanwhile."""
_PATIENCE = 5.0
"""Seconds that another client waits for an answer."""
_PIECE = 1 << 20
_BODY = (1 << 20) - 1
_HEAD = b"POST /classify HTTP/1.1\r\nHost: 127.0.0.1\r\n"


@dataclass(frozen=True)
class Attack:
    """What a few clients do at the same time.

    Attributes:
        name: what is done, for people.
        connections: number of connections.
        send: sends over one connection until it breaks or the time is up.
        files: most files the server may open; None for the system's own limit.
    """

    name: str
    connections: int
    send: Callable[[socket.socket], None]
    files: int | None = None


@dataclass
class Harm:
    """What an attack did to a server and its other clients.

    Attributes:
        memory: bytes of memory that the server took at most beyond what it had before.
        waits: seconds that another client waited for each answer of ``/classify``.
        probes: seconds that another client waited for each answer of the probe port.
        lost: requests of other clients that were not answered in time.
    """

    memory: int = 0
    waits: "array[float]" = field(default_factory=lambda: array("d"))
    probes: "array[float]" = field(default_factory=lambda: array("d"))
    lost: int = 0


def _pieces(first: bytes, piece: bytes, total: int) -> Callable[[socket.socket], None]:
    def send(connection: socket.socket) -> None:
        connection.sendall(first)
        for _ in range(total // len(piece)):
            connection.sendall(piece)

    return send


def _pipelined(connection: socket.socket) -> None:
    """Ask again and again for a page, and read no answer."""
    request = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    _pieces(b"", request * (_PIECE // len(request)), 64 << 20)(connection)


ATTACKS = (
    Attack("300 silent connections, 256 files", 300, lambda _: None, files=256),
    Attack(
        "700 bodies of 1 MiB, all but the last byte",
        700,
        _pieces(_HEAD + b"Content-Length: %d\r\n\r\n" % (_BODY + 1), bytes(_BODY), _BODY),
    ),
    Attack("64 MiB of header lines", 1, _pieces(_HEAD, b"a: b\r\n" * (_PIECE // 6), 64 << 20)),
    Attack("one header of 120 MB", 1, _pieces(_HEAD + b"a: ", b"b" * _PIECE, 120_000_000)),
    Attack("64 MiB of pipelined GET /, answers unread", 1, _pipelined),
)


def measure(
    subject: ServedStore,
    sources: Path | None,
    say: Callable[[str], None],
    *,
    attacks: Sequence[Attack] = ATTACKS,
) -> Section:
    """Attack a fresh server in every way, and one of other sources in turn.

    Args:
        subject: store to serve.
        sources: root of other sources of this project to measure as well.
        say: callback that is told what is going on.
        attacks: attacks to make.
    """
    rows, figures = [], []
    roots = [("now", None), *([] if sources is None else [("beside", sources)])]
    for attack in attacks:
        for name, root in roots:
            say(f"{attack.name}: {name}")
            harm = _attacked(subject, attack, root)
            rows.append([attack.name, name, *_cells(harm)])
            if root is None:
                figures += _figures(attack, harm)
    columns = ["attack", "sources", "memory beyond", "slowest answer", "slowest probe", "not answered"]
    note = (
        f"A fresh server for each row, attacked for {_SECONDS:g} s at most. Meanwhile one client posts an image and "
        f"asks the probe port ten times a second, over new connections, and waits {_PATIENCE:g} s for an answer."
    )
    title = f"{subject.store.name}: hostile clients"
    return Section("Hostile clients", [Table(title, columns, rows, [note])], figures)


def _attacked(subject: ServedStore, attack: Attack, root: Path | None) -> Harm:
    with ExitStack() as stack:
        probe_port = free_port()
        server = stack.enter_context(
            beside.of_sources(subject, root, attack.files, probe_port=str(probe_port))
        )
        harm, ended = Harm(), threading.Event()
        ask = (
            ("POST", f"{server.url}/classify", subject.bodies[0], harm.waits),
            ("GET", f"http://127.0.0.1:{probe_port}/livez", None, harm.probes),
        )
        before = resident(server.process.pid)
        threads = [threading.Thread(target=_ask, args=(harm, ended, *one)) for one in ask]
        threads += [
            threading.Thread(target=_send, args=(server.port, attack, ended), daemon=True)
            for _ in range(attack.connections)
        ]
        for thread in threads:
            thread.start()
        until = time.monotonic() + _SECONDS
        while time.monotonic() < until:
            harm.memory = max(harm.memory, resident(server.process.pid) - before)
            time.sleep(0.02)
        ended.set()
        for thread in threads:
            thread.join()
        return harm


def _ask(
    harm: Harm, ended: threading.Event, method: str, url: str, body: bytes | None, waits: "array[float]"
) -> None:
    while not ended.wait(0.1):
        started_at = time.monotonic()
        try:
            httpx.request(method, url, content=body, timeout=_PATIENCE).raise_for_status()
        except httpx.HTTPError:
            harm.lost += 1
        else:
            waits.append(time.monotonic() - started_at)


def _send(port: int, attack: Attack, ended: threading.Event) -> None:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=_SECONDS) as connection:
        attack.send(connection)
        ended.wait()


def _cells(harm: Harm) -> list[str]:
    slowest = [f"{max(waits):.2f} s" if waits else "none" for waits in (harm.waits, harm.probes)]
    return [f"{harm.memory / 1e6:,.0f} MB", *slowest, str(harm.lost)]


def _figures(attack: Attack, harm: Harm) -> list[Figure]:
    name = attack.name.replace(",", "").replace(" ", "_").replace("/", "").lower()
    return [
        Figure(f"hostile_{name}_not_answered", harm.lost, "", 0.0, at_most=True),
        Figure(
            f"hostile_{name}_slowest", 1000 * max(harm.waits, default=_PATIENCE), "ms", 2000.0, at_most=True
        ),
        Figure(f"hostile_{name}_memory", harm.memory / 1e6, "MB", 400.0, at_most=True),
    ]
