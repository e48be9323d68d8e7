"""The watchdog: a server whose inference loop is lost ends with a status that supervisors see."""

import threading
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs

from service.watchdog import EXIT_STATUS, Watchdog
from tests.support.process import Server, serve
from tests.support.service import digits, encode

IMAGE = encode(digits(1)[0])
WAIT = 20

FAULTY = """
import os, time
from pathlib import Path
import service.http.server, service.watchdog
from mutant_guard.runtime.scheduling import scheduler
from mutant_guard.runtime.scheduling.batches import Batches
from service.cli.app import app

real = Batches.run

def run(self, *given):
    fault = Path(os.environ["FAULT"])
    if fault.exists():
        if fault.read_text() == "hang":
            time.sleep(1000)
        raise MemoryError("no more")
    real(self, *given)

Batches.run = run
scheduler._HANGS_AFTER = 0.3
service.watchdog._LOOK_SECONDS = 0.1
service.http.server._SPARE_SECONDS = 0.5
app()
"""


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Statuses with which the process would have been ended."""
    statuses: list[int] = []
    monkeypatch.setattr("service.watchdog.os._exit", statuses.append)
    monkeypatch.setattr("service.watchdog._LOOK_SECONDS", 0.001)
    return statuses


def test_a_lost_loop_stops_the_server_and_then_ends_the_process(ended: list[int]) -> None:
    stopped = threading.Event()
    with capture_logs() as logs, Watchdog(lambda: True, stopped.set, patience=0.001) as watchdog:
        assert stopped.wait(WAIT)
        assert watchdog.tripped
        watchdog._thread.join(WAIT)
    assert ended == [EXIT_STATUS]
    assert [entry["log_level"] for entry in logs] == ["error", "error"]


def test_once_it_has_tripped_the_end_of_the_server_does_not_call_it_off(ended: list[int]) -> None:
    """Threads that hang may keep a process from ending after its server has."""
    stopped = threading.Event()
    with capture_logs():
        with Watchdog(lambda: True, stopped.set, patience=0.2) as watchdog:
            assert stopped.wait(WAIT)
        watchdog._thread.join(WAIT)
    assert ended == [EXIT_STATUS]


def test_what_is_lost_for_one_look_and_goes_on_is_left_alone(ended: list[int]) -> None:
    looks = iter([False, True, False, True, False, False])
    enough = threading.Event()

    def lost() -> bool:
        found = next(looks, None)
        if found is None:
            enough.set()
        return bool(found)

    with Watchdog(lost, lambda: pytest.fail("stopped"), patience=0) as watchdog:
        assert enough.wait(WAIT)
    watchdog._thread.join(WAIT)
    assert not watchdog.tripped
    assert ended == []


def failures(server: Server) -> list[str]:
    """Codes of the answers until the server is gone."""
    found: list[str] = []
    while True:
        try:
            answer = httpx.post(f"{server.url}/classify", content=IMAGE, timeout=WAIT)
        except httpx.TransportError:
            return found
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "2"
        found.append(str(answer.json()["type"]).removeprefix("urn:mutant-guard:problem:"))


@pytest.mark.slow
@pytest.mark.parametrize("inline_ms", ["1000", "0"], ids=["turns", "threads"])
def test_a_run_that_fails_ends_nothing_and_runs_that_go_on_failing_end_the_process(
    inline_ms: str, digits_store: Path, tmp_path: Path
) -> None:
    fault = tmp_path / "fault"
    variables = {
        "FAULT": str(fault),
        "GUARD_INLINE_MS": inline_ms,
        "GUARD_DRAIN_SECONDS": "1",
        "GUARD_CACHE_SECONDS": "0",
    }
    with serve(digits_store, tmp_path / "log", program=FAULTY, **variables) as server:
        fault.write_text("fail")
        for _ in range(3):
            answer = httpx.post(f"{server.url}/classify", content=IMAGE)
            assert (answer.status_code, answer.json()["type"]) == (503, "urn:mutant-guard:problem:run-failed")
        fault.unlink()
        assert httpx.post(f"{server.url}/classify", content=IMAGE).status_code == 200
        assert httpx.get(f"{server.url}/livez").status_code == 200
        counted = httpx.get(f"{server.url}/metrics").text
        assert "guard_run_failures_total 3.0" in counted
        assert 'guard_requests_rejected_total{reason="run-failed"} 3.0' in counted
        fault.write_text("fail")
        codes = failures(server)
        assert codes[:5] == ["run-failed"] * 4 + ["not-ready"]
        assert set(codes[5:]) <= {"not-ready"}
        assert server.process.wait(timeout=WAIT) == EXIT_STATUS
        events = [str(line["event"]) for line in server.events()]
    assert events.count("run failed") == 3 + 4
    assert "inference loop failed" in events
    assert events[-1] == "stopped"


@pytest.mark.slow
@pytest.mark.parametrize("inline_ms", ["1000", "0"], ids=["turns", "threads"])
def test_a_run_that_hangs_ends_the_process(inline_ms: str, digits_store: Path, tmp_path: Path) -> None:
    """Also where it holds the event loop, which then can stop nothing."""
    fault = tmp_path / "fault"
    variables = {
        "FAULT": str(fault),
        "GUARD_INLINE_MS": inline_ms,
        "GUARD_DRAIN_SECONDS": "0.1",
        "GUARD_GRACE_SECONDS": "0.5",
        "GUARD_DEADLINE_SECONDS": "0.1",
    }
    with serve(digits_store, tmp_path / "log", program=FAULTY, **variables) as server:
        fault.write_text("hang")
        with pytest.raises(httpx.TransportError):
            while True:
                httpx.post(f"{server.url}/classify", content=IMAGE, timeout=WAIT)
        assert server.process.wait(timeout=WAIT) == EXIT_STATUS
        events = [str(line["event"]) for line in server.events()]
    assert "an inference loop has failed or hangs; the server ends" in events
