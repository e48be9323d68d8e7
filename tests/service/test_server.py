"""The server as it is started: over real sockets, against the command line, to its end by a signal."""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from mutant_store.manifest import SCHEMA_VERSION
from tests.support.service import KEY, digits, encode, free_port, silent_listener
from tests.support.versions import add_version, copy_of

COMMAND = str(Path(sys.executable).parent / "mutant-guard")
START_SECONDS = 30


@dataclass(frozen=True)
class Server:
    """A running ``mutant-guard serve``."""

    process: "subprocess.Popen[bytes]"
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def events(self) -> list[dict[str, object]]:
        """Its log lines so far."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]


def environment(**changes: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GUARD_")}
    return kept | {"GUARD_ORDER_KEY": KEY, "GUARD_THREADS": "1", "GUARD_DEVICE": "cpu"} | changes


@contextmanager
def serve(store: Path, log: Path, **variables: str) -> Iterator[Server]:
    """A server with these settings as well, by their environment variables."""
    port = free_port()
    given = [] if "GUARD_STORE" in variables else ["--store", str(store)]
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [COMMAND, "serve", *given, "--port", str(port)],
            stderr=stderr,
            env=environment(GUARD_LOG_FORMAT="json", **variables),
        )
    try:
        _wait_until_ready(process, port, log)
        yield Server(process, port, log)
    finally:
        process.kill()
        process.wait()


def _wait_until_ready(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    give_up = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up:
        assert process.poll() is None, log.read_text()
        try:
            if httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)  # a process says by nothing else that it listens
    raise AssertionError(f"the server is not ready after {START_SECONDS} s: {log.read_text()}")


@pytest.fixture(scope="module")
def server(digits_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(digits_store, tmp_path_factory.mktemp("server") / "log") as server:
        yield server


def test_under_load_it_answers_what_the_command_line_does(
    server: Server, digits_store: Path, tmp_path: Path
) -> None:
    paths = []
    for number, image in enumerate([*digits(100), *digits(100, noise=0.3), *digits(100, noise=0.6)]):
        path = tmp_path / f"{number}.png"
        path.write_bytes(encode(image))
        paths.append(path)
    alone = subprocess.run(
        [COMMAND, "classify", *map(str, paths), "--store", str(digits_store), "--json"],
        env=environment(),
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )
    expected = [json.loads(line) for line in alone.stdout.splitlines()]
    limits = httpx.Limits(max_connections=64)

    async def post_all() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=server.url, limits=limits, timeout=30) as client:
            return await asyncio.gather(*(client.post("/classify", content=p.read_bytes()) for p in paths))

    found = [answer.raise_for_status().json() for answer in asyncio.run(post_all())]
    own = {"request_id", "elapsed_ms", "confidence", "image"}
    assert [_without(one, own) for one in found] == [_without(one, own) for one in expected]
    confidences = [one["confidence"] for one in expected]
    assert [one["confidence"] for one in found] == pytest.approx(confidences, abs=1e-5)
    assert len({one["verdict"] for one in found}) >= 2


def _without(answer: dict[str, object], fields: set[str]) -> dict[str, object]:
    return {name: value for name, value in answer.items() if name not in fields}


def test_every_request_is_one_line_of_json(server: Server) -> None:
    for name, body in (("good", encode(digits(1)[0])), ("bad", b"text")):
        httpx.post(f"{server.url}/classify", content=body, headers={"X-Request-Id": name})
    found = {event["request_id"]: event for event in server.events() if "request_id" in event}
    assert found["good"]["event"] == "classified"
    assert {"label", "verdict", "mutants", "cached", "elapsed_ms", "timestamp"} <= set(found["good"])
    assert (found["bad"]["event"], found["bad"]["reason"]) == ("refused", "bad-image")


def test_a_body_far_over_the_limit_is_answered(server: Server) -> None:
    with httpx.Client(base_url=server.url) as client:
        assert client.post("/classify", content=bytes(12 << 20)).status_code == 413
        assert client.get("/livez").status_code == 200


def test_a_client_that_goes_away_leaves_no_traceback(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(
            b"POST /classify HTTP/1.1\r\nHost: g\r\nX-Request-Id: gone\r\nContent-Length: 999\r\n\r\nabc"
        )
    give_up = time.monotonic() + 10
    while not any(event.get("request_id") == "gone" for event in server.events()):
        assert time.monotonic() < give_up
        time.sleep(0.02)  # the connection is closed, so only the log tells
    assert httpx.get(f"{server.url}/readyz").status_code == 200
    assert "Traceback" not in server.log.read_text()


def ended_in_order(server: Server, *, within: float) -> None:
    assert server.process.wait(timeout=within) == 0
    assert "Traceback" not in server.log.read_text()
    assert "rror" not in server.log.read_text()
    assert server.events()[-1]["event"] == "stopped"


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(end: signal.Signals, digits_store: Path, tmp_path: Path) -> None:
    with serve(digits_store, tmp_path / "log", GUARD_DRAIN_SECONDS="0.2") as server:
        assert httpx.post(f"{server.url}/classify", content=encode(digits(1)[0])).status_code == 200
        server.process.send_signal(end)
        ended_in_order(server, within=20)


def test_without_time_to_drain_it_ends_at_once(digits_store: Path, tmp_path: Path) -> None:
    with serve(digits_store, tmp_path / "log", GUARD_DRAIN_SECONDS="0") as server:
        server.process.send_signal(signal.SIGTERM)
        ended_in_order(server, within=5)


def test_after_sigterm_it_is_not_ready_and_still_answers_for_a_while(
    digits_store: Path, tmp_path: Path
) -> None:
    """So that load balancers notice, and kept connections move elsewhere without a request lost."""
    image = encode(digits(1)[0])
    with serve(digits_store, tmp_path / "log", GUARD_DRAIN_SECONDS="2") as server:
        with httpx.Client(base_url=server.url) as kept:
            assert "connection" not in kept.post("/classify", content=image).headers
            signalled = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            ready = _until_draining(server)
            assert time.monotonic() - signalled < 1
            assert ready.json()["type"] == "urn:mutant-guard:problem:not-ready"
            assert "about to stop" in ready.json()["detail"]
            assert ready.headers["retry-after"] == "2"
            time.sleep(0.3)  # the header comes with the server's next tick, ten times a second
            for _ in range(3):
                answer = kept.post("/classify", content=image)
                assert (answer.status_code, answer.headers["connection"]) == (200, "close")
            assert httpx.get(f"{server.url}/livez").status_code == 200
            assert time.monotonic() - signalled < 2  # or what follows would show nothing
        ended_in_order(server, within=10)
        assert time.monotonic() - signalled >= 2


def _until_draining(server: Server) -> httpx.Response:
    give_up = time.monotonic() + 10
    while time.monotonic() < give_up:
        answer = httpx.get(f"{server.url}/readyz")
        if answer.status_code == 503:
            return answer
        time.sleep(0.01)  # a signal is taken when the process gets to it
    raise AssertionError("the server goes on being ready")


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_the_draining(
    second: signal.Signals, digits_store: Path, tmp_path: Path
) -> None:
    with serve(digits_store, tmp_path / "log", GUARD_DRAIN_SECONDS="600") as server:
        server.process.send_signal(signal.SIGTERM)
        _until_draining(server)
        assert httpx.post(f"{server.url}/classify", content=encode(digits(1)[0])).status_code == 200
        server.process.send_signal(second)
        ended_in_order(server, within=5)


def test_ctrl_c_does_not_drain(digits_store: Path, tmp_path: Path) -> None:
    with serve(digits_store, tmp_path / "log", GUARD_DRAIN_SECONDS="600") as server:
        server.process.send_signal(signal.SIGINT)
        ended_in_order(server, within=5)


def test_what_is_in_flight_at_the_end_is_answered(digits_store: Path, tmp_path: Path) -> None:
    """A request whose body is still on its way when the server stops listening."""
    image = encode(digits(1)[0])
    with serve(digits_store, tmp_path / "log", GUARD_DRAIN_SECONDS="0.2") as server:
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            head = f"POST /classify HTTP/1.1\r\nHost: g\r\nContent-Length: {len(image)}\r\n\r\n"
            connection.sendall(head.encode() + image[:20])
            _until_in_flight(server)
            server.process.send_signal(signal.SIGTERM)
            time.sleep(1)  # by then it has stopped listening
            with pytest.raises(httpx.ConnectError):
                httpx.get(f"{server.url}/livez")
            assert server.process.poll() is None
            connection.sendall(image[20:])
            connection.settimeout(10)
            assert connection.recv(100).startswith(b"HTTP/1.1 200 OK")
        ended_in_order(server, within=10)


def _until_in_flight(server: Server) -> None:
    """Until the server has taken what a connection before this one sent."""
    assert httpx.get(f"{server.url}/livez").status_code == 200


def test_what_takes_longer_than_the_time_of_grace_is_cut_off(digits_store: Path, tmp_path: Path) -> None:
    with serve(digits_store, tmp_path / "log", GUARD_DRAIN_SECONDS="0", GUARD_GRACE_SECONDS="1") as server:
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(b"POST /classify HTTP/1.1\r\nHost: g\r\nContent-Length: 999\r\n\r\nabc")
            _until_in_flight(server)
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(timeout=10) == 0
        assert server.events()[-1]["event"] == "stopped"


def test_several_stores_are_served_by_name(digits_store: Path, retrained_store: Path, tmp_path: Path) -> None:
    soft = copy_of(retrained_store, tmp_path)
    add_version(soft, name="soft")
    image = encode(digits(1)[0])
    with serve(digits_store, tmp_path / "log", GUARD_STORE=f"{digits_store},{soft}") as server:
        names = [
            httpx.post(f"{server.url}/classify{query}", content=image).json()["store"]["name"]
            for query in ("", "?store=soft", "?store=digits")
        ]
        assert names == ["digits", "soft", "digits"]


def _flip_a_byte(store: Path) -> str:
    bank = next(store.glob("*/bank-0.onnx"))
    content = bytearray(bank.read_bytes())
    content[100] ^= 1
    bank.write_bytes(content)
    return f"{bank} is damaged"


def _make_newer(store: Path) -> str:
    manifest = next(store.glob("*/manifest.json"))
    newer = json.loads(manifest.read_text()) | {"schema_version": SCHEMA_VERSION + 1}
    manifest.write_text(json.dumps(newer))
    versions = f"schema version {SCHEMA_VERSION + 1}, this release reads {SCHEMA_VERSION}"
    return f"{manifest} has {versions}; update mutant-guard"


def _leave_unfinished(store: Path) -> str:
    (store / "CURRENT").unlink()
    return f"{store}: no version is published"


@pytest.mark.parametrize("damage", [_flip_a_byte, _make_newer, _leave_unfinished])
def test_a_store_that_cannot_be_served_ends_the_start_with_one_line(
    damage: Callable[[Path], str], digits_store: Path, tmp_path: Path
) -> None:
    store = tmp_path / "digits"
    shutil.copytree(digits_store, store)
    message = damage(store)
    done = subprocess.run(
        [COMMAND, "serve", "--store", str(store), "--port", str(free_port())],
        env=environment(),
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {message}")
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


def test_a_port_that_is_taken_is_one_line_and_another_status(digits_store: Path) -> None:
    with silent_listener() as port:
        done = subprocess.run(
            [COMMAND, "serve", "--store", str(digits_store), "--port", str(port)],
            env=environment(GUARD_LOG_FORMAT="json"),
            capture_output=True,
            check=False,
            text=True,
            timeout=60,
        )
    assert done.returncode == 3
    *_, last = [json.loads(line) for line in done.stderr.splitlines()]
    assert "Address already in use" in last["event"]
    assert last["level"] == "error"
    assert "Traceback" not in done.stderr
