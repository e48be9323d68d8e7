"""Log lines in both forms, from any logger, and servers whose log is not read."""

import asyncio
import json
import logging
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from math import inf, nan
from pathlib import Path

import httpx
import pytest
import structlog

from service.telemetry.logs import configure_logs, log_frequent
from tests.support.service import KEY, digits, encode, free_port

SECRET = "a key that was at hand"  # noqa: S105
START_SECONDS = 30


def lines(capture: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    """Return the JSON lines that were logged."""
    captured = capture.readouterr()
    assert captured.out == ""
    return [json.loads(line) for line in captured.err.splitlines()]


def fail_with(secret: str) -> None:
    raise RuntimeError(f"no luck with {len(secret)} characters")


def test_a_line_of_json_begins_with_when_how_bad_and_what(capfd: pytest.CaptureFixture[str]) -> None:
    configure_logs("json")
    structlog.get_logger().info("classified", label=7, verdict="normal", cached=False, key=None)
    (line,) = lines(capfd)
    assert list(line) == ["timestamp", "level", "event", "label", "verdict", "cached", "key"]
    stamp = datetime.fromisoformat(str(line.pop("timestamp")))
    assert stamp.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - stamp) < timedelta(minutes=1)
    assert line == {
        "level": "info",
        "event": "classified",
        "label": 7,
        "verdict": "normal",
        "cached": False,
        "key": None,
    }


def test_a_frequent_line_is_the_line_that_structlog_writes(capfd: pytest.CaptureFixture[str]) -> None:
    configure_logs("json")
    facts = {"label": 7, "verdict": "normal", "cached": False, "key": None, "elapsed_ms": nan}
    structlog.get_logger().info("classified", **facts)
    log_frequent("classified", facts)
    one, other = lines(capfd)
    stamps = [datetime.fromisoformat(str(line.pop("timestamp"))) for line in (one, other)]
    assert list(one.items()) == list(other.items())
    assert timedelta(0) <= stamps[1] - stamps[0] < timedelta(seconds=10)


def test_a_frequent_line_goes_through_whatever_structlog_is_set_up_with(
    capfd: pytest.CaptureFixture[str],
) -> None:
    configure_logs("json")
    with structlog.testing.capture_logs() as captured:
        log_frequent("classified", {"label": 7})
    assert captured == [{"label": 7, "event": "classified", "log_level": "info"}]
    configure_logs("json", quiet=True)
    log_frequent("classified", {"label": 7})
    assert lines(capfd) == []
    configure_logs("console")
    log_frequent("classified", {"label": 7})
    assert "label=7" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("value", "logged"),
    [
        (nan, None),
        (inf, None),
        ("\u00e4\n\x1b", "\u00e4\n\x1b"),
        ("half a pair: \ud83d", "half a pair: \ud83d"),
        (Path("/a/b"), "/a/b"),
        (complex(0, 1), "1j"),
        (b"\x89PNG", "b'\\x89PNG'"),
        ([1, {"a": None}], [1, {"a": None}]),
    ],
)
def test_whatever_is_logged_is_json(value: object, logged: object, capfd: pytest.CaptureFixture[str]) -> None:
    configure_logs("json")
    structlog.get_logger().info("event", value=value)
    assert lines(capfd)[0]["value"] == logged


@pytest.mark.parametrize("form", ["json", "console"])
def test_quiet_keeps_warnings_and_worse(form: str, capfd: pytest.CaptureFixture[str]) -> None:
    configure_logs("json" if form == "json" else "console", quiet=True)
    structlog.get_logger().info("not this")
    structlog.get_logger().warning("but this")
    said = capfd.readouterr().err
    assert "but this" in said
    assert "not this" not in said
    assert len(said.splitlines()) == 1


def test_for_people_a_line_is_a_line_whatever_a_caller_sent(capfd: pytest.CaptureFixture[str]) -> None:
    configure_logs("console")
    sent = "x\n2026-01-01 [error] forged\x1b[31m \u2028 \ud83d"
    structlog.get_logger().info(
        "refused", detail=sent, bell="\x1b[31m\a", store="digits", word="gr\u00fc\u00dfe"
    )
    structlog.get_logger().info(sent)
    for line in (said := capfd.readouterr().err).splitlines():
        assert line.isprintable()
        assert "forged" in line
    assert len(said.splitlines()) == 2
    assert "store=digits word=gr\u00fc\u00dfe\n" in said


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_shows_no_values(form: str, capfd: pytest.CaptureFixture[str]) -> None:
    """An image or a key may be among the values."""
    configure_logs("json" if form == "json" else "console")
    try:
        fail_with(SECRET)
    except RuntimeError:
        structlog.get_logger().exception("failed")
    said = capfd.readouterr().err
    assert "no luck with 22 characters" in said
    assert "in fail_with" in said
    assert SECRET not in said
    if form == "json":
        assert json.loads(said)["level"] == "error"
        assert len(said.splitlines()) == 1


def test_what_the_standard_library_logs_comes_out_in_the_same_form(
    capfd: pytest.CaptureFixture[str],
) -> None:
    configure_logs("json")
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received: %s\n", "why")
    logging.getLogger("asyncio").critical("worse", stack_info=False)
    logging.getLogger("some.library").log(35, "between warning and error")
    logging.getLogger("some.library").log(60, "worst")
    logging.getLogger("uvicorn.error").info("Started")
    found = [{name: line[name] for name in ("level", "event", "logger")} for line in lines(capfd)]
    assert found == [
        {"level": "warning", "event": "Invalid HTTP request received: why", "logger": "uvicorn.error"},
        {"level": "critical", "event": "worse", "logger": "asyncio"},
        {"level": "warning", "event": "between warning and error", "logger": "some.library"},
        {"level": "critical", "event": "worst", "logger": "some.library"},
    ]


def test_what_the_event_loop_catches_is_one_line_with_its_traceback(
    capfd: pytest.CaptureFixture[str],
) -> None:
    configure_logs("json")

    async def lose_a_failure() -> None:
        asyncio.get_running_loop().call_soon(fail_with, SECRET)
        await asyncio.sleep(0)

    asyncio.run(lose_a_failure())
    (line,) = lines(capfd)
    assert (line["level"], line["logger"]) == ("error", "asyncio")
    assert "no luck with 22 characters" in str(line["exception"])


def test_configured_twice_it_says_everything_once(capfd: pytest.CaptureFixture[str]) -> None:
    configure_logs("console")
    configure_logs("json")
    logging.getLogger("asyncio").error("once")
    structlog.get_logger().info("once as well")
    assert [line["event"] for line in lines(capfd)] == ["once", "once as well"]


def test_a_process_without_standard_error_logs_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    configure_logs("console")
    structlog.get_logger().info("to nobody")
    logging.getLogger("asyncio").error("to nobody")


@contextmanager
def serving(store: Path, stderr: int) -> Iterator[httpx.Client]:
    """Yield a client of ``mutant-guard serve`` that logs JSON to a descriptor."""
    port = free_port()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GUARD_")}
    own = {"GUARD_ORDER_KEY": KEY, "GUARD_DEVICE": "cpu", "GUARD_LOG_FORMAT": "json"}
    command = str(Path(sys.executable).parent / "mutant-guard")
    process = subprocess.Popen(
        [command, "serve", "--store", str(store), "--port", str(port)], stderr=stderr, env=kept | own
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            _wait_until_ready(client, process)
            yield client
    finally:
        process.terminate()
        try:
            assert process.wait(timeout=30) == 0
        finally:
            process.kill()
            process.wait()


def _wait_until_ready(client: httpx.Client, process: "subprocess.Popen[bytes]") -> None:
    give_up = time.monotonic() + START_SECONDS
    while True:
        assert process.poll() is None
        assert time.monotonic() < give_up
        try:
            if client.get("/readyz").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)  # no other sign tells that a process listens


def read_events(reader: int) -> list[dict[str, object]]:
    """Read the events in a pipe until it stays empty for half a second."""
    found = bytearray()
    while select.select([reader], [], [], 0.5)[0]:
        found += os.read(reader, 1 << 16)
    return [json.loads(line) for line in found.splitlines()]


@pytest.mark.slow
def test_a_server_answers_whether_its_log_is_read_or_not(digits_store: Path) -> None:
    image, text = encode(digits(1)[0]), b"no image"
    reader, writer = os.pipe()
    with serving(digits_store, writer) as client:
        os.close(writer)
        with socket.create_connection(("127.0.0.1", client.base_url.port or 0)) as connection:
            connection.sendall(b"no HTTP at all\r\n\r\n")
            assert b"400 Bad Request" in connection.recv(1024)
        (complaint,) = [event for event in read_events(reader) if event["event"] == "refused"]
        assert (complaint["reason"], complaint["status"]) == ("bad-request", 400)
        assert complaint["peer"] == "127.0.0.1"

        # The lines take more than twice what a pipe holds, so a write that waited for the reader
        # would never end.
        assert {client.post("/classify", content=text).status_code for _ in range(600)} == {422}
        assert len(read_events(reader)) < 600
        assert client.post("/classify", content=image).status_code == 200
        answered, lost = read_events(reader)
        assert (answered["event"], lost["event"]) == (
            "classified",
            "log lines were lost, nobody read them in time",
        )

        os.close(reader)
        assert {client.post("/classify", content=text).status_code for _ in range(20)} == {422}
        assert {client.post("/classify", content=image).status_code for _ in range(20)} == {200}
