"""Lines of several processes on one pipe, none of them torn."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from service.telemetry.shared_lock import SharedLock

PROGRAM = """
import sys
import structlog
from service.telemetry.logs import configure_logs

configure_logs("json", shared=int(sys.argv[1]))
for number in range(200):
    structlog.get_logger().info("said", text=sys.argv[2] * 20_000)
"""
HOLDER = """
import fcntl, sys, time

fcntl.lockf(int(sys.argv[1]), fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def shared() -> Iterator[int]:
    descriptor = os.memfd_create("shared")
    yield descriptor
    os.close(descriptor)


def test_lines_longer_than_a_pipe_takes_at_once_stay_whole(shared: int) -> None:
    reader, writer = os.pipe()
    writers = [
        subprocess.Popen([sys.executable, "-c", PROGRAM, f"{shared}", sign], stderr=writer, pass_fds=[shared])
        for sign in "ab"
    ]
    os.close(writer)
    with os.fdopen(reader) as file:
        said = [json.loads(line) for line in file]
    assert [one.wait() for one in writers] == [0, 0]
    texts = [event["text"] for event in said if event["event"] == "said"]
    assert {*texts} == {"a" * 20_000, "b" * 20_000}
    assert len(texts) > 100  # others were lost, as each process writes all the time


def test_a_process_that_keeps_the_lock_is_waited_for_once(shared: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, f"{shared}"], stdout=subprocess.PIPE, pass_fds=[shared]
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        lock, waits = SharedLock(shared), []
        for _ in range(3):
            started = time.perf_counter()
            with lock as mine:
                waits.append(time.perf_counter() - started)
            assert not mine
        holder.kill()
    assert waits[0] >= 0.025 > max(waits[1:])
    with lock as mine:
        assert mine
