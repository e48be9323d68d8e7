"""Tests that the load client counts every request as what the server did to it."""

import asyncio
from collections.abc import Iterator

import pytest

from benchmarks.load.loops import run
from benchmarks.load.plan import Plan, Watch
from benchmarks.load.report import Report
from tests.support.faulty import SLOW_SECONDS, Faulty, faulty_server
from tests.support.service import free_port

pytestmark = pytest.mark.slow


@pytest.fixture
def server() -> Iterator[Faulty]:
    with faulty_server() as server:
        yield server


def load(server: Faulty, path: str, **changes: object) -> Report:
    """Run a short closed loop of two connections, with any part of the plan changed."""
    settings: dict[str, object] = {"connections": 2, "seconds": 0.2, "grace": 1.0} | changes
    plan = Plan(server.port, path, [b"one", b"another"], **settings)  # type: ignore[arg-type]
    return asyncio.run(run(plan))


@pytest.mark.parametrize(("path", "status"), [("/fine", 200), ("/busy", 429), ("/split", 200)])
def test_every_answer_is_counted_once_by_its_status(server: Faulty, path: str, status: int) -> None:
    report = load(server, path)
    assert report.statuses == {status: server.requests[path]}
    assert report.answered > 2
    assert (report.lost, report.refused, report.unsent) == (0, 0, 0)
    assert server.connections == 2


def test_latency_and_throughput_are_those_of_the_server(server: Faulty) -> None:
    report = load(server, "/slow", connections=4, seconds=0.5)
    found = report.latencies[200]
    assert SLOW_SECONDS <= found.p50 <= found.p99 <= found.max < 1
    assert found.count == report.ok
    assert 4 < report.throughput <= 4 / SLOW_SECONDS
    assert report.took >= 0.5


def test_throughput_is_of_answers_200_alone(server: Faulty) -> None:
    assert load(server, "/busy").throughput == 0
    assert load(server, "/busy").ok == 0


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/drop", "closed the connection without an answer"),
        ("/half", "closed the connection without an answer"),
        ("/more", "more came than was asked for"),
        ("/no-length", "no answer with a status and a length"),
    ],
)
def test_a_request_without_a_whole_answer_is_lost(server: Faulty, path: str, why: str) -> None:
    report = load(server, path)
    assert report.answered == 0
    assert report.lost == server.requests[path] > 0
    assert all(why in reason for reason in report.reasons)
    assert report.throughput == 0


def test_one_loss_among_many_answers_is_seen(server: Faulty) -> None:
    report = load(server, "/drop-third", connections=1)
    assert report.lost == server.requests["/drop-third"] // 3 > 0
    assert report.ok == server.requests["/drop-third"] - report.lost


def test_a_request_that_is_never_answered_is_lost_after_the_grace_time(server: Faulty) -> None:
    report = load(server, "/never", connections=3, grace=0.2)
    assert (report.answered, report.lost) == (0, 3)
    assert report.reasons == {"not answered within 0.2 s after the end": 3}


def test_a_server_that_takes_no_connections_is_seen() -> None:
    plan = Plan(free_port(), "/", [b"x"], 2, 0.2)
    report = asyncio.run(run(plan))
    assert (report.answered, report.lost) == (0, 0)
    assert report.refused >= 2
    assert sum(report.reasons.values()) == report.refused


def test_an_answer_after_the_last_request_is_counted_but_is_not_throughput(server: Faulty) -> None:
    report = load(server, "/slow", seconds=SLOW_SECONDS / 2)
    assert (report.ok, report.lost, report.throughput) == (2, 0, 0)


def test_fresh_connections_are_opened_for_every_request(server: Faulty) -> None:
    report = load(server, "/fine", connections=1, fresh=1)
    assert server.connections == pytest.approx(report.ok, abs=1)
    assert report.ok > 2


def test_a_connection_the_server_closes_is_replaced_and_nothing_is_lost(server: Faulty) -> None:
    report = load(server, "/closing", connections=1, seconds=0.5)
    # The answer does not say that it is the last. A request sent before the client sees the end may
    # be lost, never more.
    assert report.ok + report.lost == pytest.approx(server.connections, abs=report.lost + 1)
    assert report.ok >= 2


def test_no_request_is_sent_once_the_watched_path_fails(server: Faulty) -> None:
    report = load(server, "/fine", seconds=5.0, watch=Watch("/ready-thrice", every=0.02))
    assert server.requests["/ready-thrice"] == 4
    assert report.stopped_after is not None
    assert report.stopped_after < 4  # it would go on for 5 seconds
    assert report.took < 4.5
    assert (report.ok, report.lost) == (server.requests["/fine"], 0)


def test_a_path_that_never_fails_stops_nothing(server: Faulty) -> None:
    report = load(server, "/fine", watch=Watch("/ready", every=0.02))
    assert report.stopped_after is None


class TestAtARate:
    def test_so_many_requests_leave(self, server: Faulty) -> None:
        report = load(server, "/fine", rate=200.0, seconds=0.5, connections=8)
        assert report.ok == server.requests["/fine"] == 100
        assert (report.lag.count, report.unsent, report.lost) == (100, 0, 0)
        assert server.connections <= 8

    def test_a_stall_is_charged_to_all_that_were_due_meanwhile(self, server: Faulty) -> None:
        """The rate is three times what one connection at 0.08 s a request takes.

        Waiting is latency.
        """
        report = load(server, "/slow", rate=40.0, seconds=0.4, connections=1, grace=5.0)
        assert report.ok == 16
        assert report.latencies[200].max > 10 * SLOW_SECONDS
        assert report.lag.max > 9 * SLOW_SECONDS
        assert report.waits.max < 3 * SLOW_SECONDS  # time that the server alone took
        assert not report.kept_up

    def test_what_was_due_long_before_the_end_is_not_sent_after_it(self, server: Faulty) -> None:
        report = load(server, "/slow", rate=100.0, seconds=0.4, connections=1, grace=5.0)
        assert report.lost == 0
        assert report.ok + report.unsent == 40
        assert report.took < 0.4 + 1.0 + 3 * SLOW_SECONDS

    def test_what_never_left_is_told(self, server: Faulty) -> None:
        report = load(server, "/slow", rate=100.0, seconds=0.4, connections=1, grace=0.2)
        assert report.unsent > 0
        assert report.ok + report.unsent + report.lost == 40
        assert report.ok + report.lost == server.requests["/slow"]
        assert not report.kept_up

    def test_losses_are_counted(self, server: Faulty) -> None:
        report = load(server, "/drop-third", rate=50.0, seconds=0.3)
        assert report.ok + report.lost == 15
        assert report.lost == 5

    def test_a_server_that_takes_no_connections_leaves_all_unsent(self) -> None:
        plan = Plan(free_port(), "/", [b"x"], 2, 0.2, rate=50.0, grace=0.2)
        report = asyncio.run(run(plan))
        assert (report.answered, report.lost, report.unsent) == (0, 0, 10)
        assert report.refused > 0
