"""Log lines reach their file whole, and a reader that stops or goes away delays nothing."""

import fcntl
import io
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

from service.telemetry.line_writer import LineWriter

SPACE = 65_536
"""Capacity of the pipe in these tests, in bytes."""


class Pipe:
    """Pipe whose reader reads only when told to."""

    def __init__(self) -> None:
        self.reader, writer = os.pipe()
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, SPACE)
        self.file = os.fdopen(writer, "w")

    def read(self) -> bytes:
        """Read all bytes that are there."""
        os.set_blocking(self.reader, False)
        found = bytearray()
        try:
            while part := os.read(self.reader, SPACE):
                found += part
        except BlockingIOError:
            pass
        return bytes(found)

    def close_reader(self) -> None:
        os.close(self.reader)
        self.reader = -1

    def close(self) -> None:
        if self.reader >= 0:
            os.close(self.reader)
        self.file.close()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.close()


def seconds_for(writer: LineWriter, lines: int) -> float:
    started = time.perf_counter()
    for number in range(lines):
        writer.msg(b"%06d" % number + b"x" * 506)
    return time.perf_counter() - started


def test_every_line_ends_in_one_line_end(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("w") as file:
        writer = LineWriter(file)
        writer.info(b"one")
        writer.error("zwei \u00e4".encode())
    assert path.read_text() == "one\nzwei \u00e4\n"


def test_a_file_in_memory_will_do() -> None:
    file = io.StringIO()
    LineWriter(file).msg(b"one")
    assert file.getvalue() == "one\n"


def test_a_process_without_standard_error_logs_nowhere() -> None:
    with capture_logs() as logs:
        writer = LineWriter(None)
        writer.msg(b"one")
        writer.msg(b"two")
    assert logs == []


@pytest.mark.parametrize("in_memory", [False, True])
def test_a_closed_file_is_no_error(in_memory: bool, tmp_path: Path) -> None:
    file = io.StringIO() if in_memory else (tmp_path / "log").open("w")
    writer = LineWriter(file)
    file.close()
    writer.msg(b"one")


def test_a_full_disk_is_no_error() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with Path("/dev/full").open("w") as file:
        LineWriter(file).msg(b"one")


def test_a_reader_that_went_away_is_no_error(pipe: Pipe) -> None:
    writer = LineWriter(pipe.file)
    pipe.close_reader()
    assert seconds_for(writer, 1000) < 1


def test_a_reader_that_stops_holds_up_nobody(pipe: Pipe) -> None:
    """10,000 lines of 513 bytes are 78 times what the pipe holds, so writing would never end."""
    writer = LineWriter(pipe.file)
    assert seconds_for(writer, 10_000) < 1
    found = pipe.read().splitlines()
    assert len(found) > 50
    assert [int(line[:6]) for line in found] == list(range(len(found)))


def test_what_was_lost_is_said_as_soon_as_somebody_reads_again(pipe: Pipe) -> None:
    writer = LineWriter(pipe.file)
    structlog.configure(
        processors=[lambda _, level, event: json.dumps({"level": level, **event}).encode()],
        logger_factory=lambda *_: writer,
    )
    seconds_for(writer, 1000)
    kept = len(pipe.read().splitlines())
    writer.msg(b"again")
    again, said = pipe.read().splitlines()
    assert again == b"again"
    assert json.loads(said)["lines"] == 1000 - kept
    assert json.loads(said)["level"] == "warning"
    writer.msg(b"more")
    assert pipe.read() == b"more\n"


def test_a_slow_reader_loses_nothing(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader takes the bytes that are there within the time that a line waits."""
    monkeypatch.setattr("service.telemetry.line_writer._PATIENCE_MS", 5000)
    writer, found = LineWriter(pipe.file), bytearray()

    def read() -> None:
        while not found.endswith(b"last\n"):
            found.extend(os.read(pipe.reader, 4096))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    seconds_for(writer, 2000)
    writer.msg(b"last")
    reader.join(timeout=10)
    assert [int(line[:6]) for line in bytes(found).splitlines()[:-1]] == list(range(2000))


@pytest.mark.parametrize("size", [4095, 4096, 4097, 50_000])
def test_a_long_line_arrives_whole(size: int, pipe: Pipe) -> None:
    LineWriter(pipe.file).msg(b"x" * size)
    assert pipe.read() == b"x" * size + b"\n"


def test_a_line_cut_short_does_not_spoil_the_next(pipe: Pipe) -> None:
    writer = LineWriter(pipe.file)
    structlog.configure(processors=[lambda *_: b"lost"], logger_factory=lambda *_: writer)
    writer.msg(b"x" * (SPACE + 1))
    torn = pipe.read()
    assert set(torn) == {ord("x")}
    writer.msg(b"next")
    assert pipe.read() == b"\nnext\nlost\n"
    writer.msg(b"more")
    assert pipe.read() == b"more\n"


def test_a_signal_handler_may_log_while_its_thread_writes() -> None:
    """The file stands in for a signal that arrives during a write."""

    class Interrupted(io.StringIO):
        def write(self, text: str) -> int:
            if text == "outer\n":
                writer.msg(b"inner")
            return super().write(text)

    file = Interrupted()
    writer = LineWriter(file)
    thread = threading.Thread(target=writer.msg, args=(b"outer",), daemon=True)
    thread.start()
    thread.join(timeout=5)
    assert not thread.is_alive()
    assert file.getvalue() == "inner\nouter\n"


def test_lines_of_several_threads_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("w") as file:
        writer = LineWriter(file)

        def write(letter: bytes) -> None:
            for _ in range(30):
                writer.msg(letter * 9000)

        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-5)
        try:
            threads = [threading.Thread(target=write, args=(letter,)) for letter in (b"a", b"b", b"c")]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            sys.setswitchinterval(interval)
    lines = path.read_text().splitlines()
    assert len(lines) == 90
    assert {len(set(line)) for line in lines} == {1}
