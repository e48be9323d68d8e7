import subprocess
import sys
from typing import Any

import pytest

from benchmarks.load.ask import ask
from benchmarks.load.connection import LostError, RefusedError
from benchmarks.load.plan import Plan
from benchmarks.load.process import LoadError, LoadProcess, run_load
from tests.support.faulty import faulty_server
from tests.support.service import free_port


def test_a_load_runs_in_a_process_of_its_own() -> None:
    with faulty_server() as server:
        report = run_load(Plan(server.port, "/fine", [b"x"], 2, 0.2))
        assert report.statuses == {200: server.requests["/fine"]}
        assert report.answered > 2


def test_a_client_that_is_ended_measures_nothing() -> None:
    with faulty_server() as server:
        load = LoadProcess(Plan(server.port, "/fine", [b"x"], 1, 30.0))
        assert load.running
        load.kill()
        assert not load.running
        with pytest.raises(LoadError, match="the load client failed"):
            load.result()


def test_a_client_that_complains_measures_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Callbacks that fail in an event loop write to standard error, and the client goes on."""
    script = "import sys; sys.stdin.read(); sys.stderr.write('a callback failed'); print('{}')"
    start = subprocess.Popen

    def popen(command: list[str], **options: Any) -> Any:
        return start([sys.executable, "-c", script], **options)

    monkeypatch.setattr(subprocess, "Popen", popen)
    with pytest.raises(LoadError, match="a callback failed"):
        run_load(Plan(80, "/", [b"x"], 1, 0.1))


def test_answers_come_in_the_order_of_the_requests() -> None:
    with faulty_server() as server:
        paths = ["/fine", "/busy", "/slow", "/not-ready", "/fine"]
        requests = [Plan(server.port, path, [b"x"], 1, 1.0).requests()[0] for path in paths]
        assert [answer.status for answer in ask(server.port, requests, 3)] == [200, 429, 200, 503, 200]
        assert ask(server.port, requests[:1])[0].body == b"ok"
        with pytest.raises(LostError, match="without an answer"):
            ask(server.port, Plan(server.port, "/drop", [b"x"], 1, 1.0).requests())
    with pytest.raises(RefusedError):
        ask(free_port(), requests[:1])
