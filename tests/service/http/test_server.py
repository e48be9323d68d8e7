"""The end of the server: in order on a signal, with requests in flight answered.

Failed starts are tested here too.
"""

import json
import signal
import socket
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from tests.support.process import COMMAND, Server, environment, serve
from tests.support.service import digits, encode, silent_listener

pytestmark = pytest.mark.slow


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
    """Load balancers notice, and kept connections move elsewhere without losing a request."""
    image = encode(digits(1)[0])
    with serve(digits_store, tmp_path / "log", GUARD_DRAIN_SECONDS="5") as server:
        with httpx.Client(base_url=server.url) as kept:
            assert "connection" not in kept.post("/classify", content=image).headers
            signalled = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            ready = _until_draining(server)
            assert ready.json()["type"] == "urn:mutant-guard:problem:not-ready"
            assert "about to stop" in ready.json()["detail"]
            assert ready.headers["retry-after"] == "2"
            time.sleep(0.3)  # the header comes with the server's next tick, ten times a second
            for _ in range(3):
                answer = kept.post("/classify", content=image)
                assert (answer.status_code, answer.headers["connection"]) == (200, "close")
            assert httpx.get(f"{server.url}/livez").status_code == 200
            assert time.monotonic() - signalled < 5  # otherwise the rest would show nothing
        ended_in_order(server, within=10)
        assert time.monotonic() - signalled >= 5


def _until_draining(server: Server) -> httpx.Response:
    give_up = time.monotonic() + 10
    while time.monotonic() < give_up:
        answer = httpx.get(f"{server.url}/readyz")
        if answer.status_code == 503:
            return answer
        time.sleep(0.01)  # the process takes a signal when it gets to it
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
    """The body of the request is still on its way when the server stops listening."""
    image = encode(digits(1)[0])
    with serve(digits_store, tmp_path / "log", GUARD_DRAIN_SECONDS="0.2") as server:
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            head = f"POST /classify HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(image)}\r\n\r\n"
            connection.sendall(head.encode() + image[:20])
            _until_in_flight(server)
            server.process.send_signal(signal.SIGTERM)
            time.sleep(1)  # the server has stopped listening by then
            with pytest.raises(httpx.ConnectError):
                httpx.get(f"{server.url}/livez")
            assert server.process.poll() is None
            connection.sendall(image[20:])
            connection.settimeout(10)
            assert connection.recv(100).startswith(b"HTTP/1.1 200 OK")
        ended_in_order(server, within=10)


def _until_in_flight(server: Server) -> None:
    """Wait until the server has accepted the connection opened before this one."""
    assert httpx.get(f"{server.url}/livez").status_code == 200


def test_what_takes_longer_than_the_time_of_grace_is_cut_off(digits_store: Path, tmp_path: Path) -> None:
    with serve(digits_store, tmp_path / "log", GUARD_DRAIN_SECONDS="0", GUARD_GRACE_SECONDS="1") as server:
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(
                b"POST /classify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999\r\n\r\nabc"
            )
            _until_in_flight(server)
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(timeout=10) == 0
        assert server.events()[-1]["event"] == "stopped"


def test_a_second_ctrl_c_cuts_off_what_is_in_flight(digits_store: Path, tmp_path: Path) -> None:
    with (
        serve(digits_store, tmp_path / "log", GUARD_GRACE_SECONDS="600") as server,
        socket.create_connection(("127.0.0.1", server.port)) as connection,
    ):
        connection.sendall(b"POST /classify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999\r\n\r\nabc")
        _until_in_flight(server)
        server.process.send_signal(signal.SIGINT)
        time.sleep(0.5)  # a signal at the same time as another one would be lost
        assert server.process.poll() is None
        server.process.send_signal(signal.SIGINT)
        ended_in_order(server, within=20)


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
    assert '"event": "serving"' not in done.stderr
    assert last["level"] == "error"
    assert "Traceback" not in done.stderr
