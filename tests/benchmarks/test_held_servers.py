"""Overload, soak and ends of a real server on digits, in seconds: no request may be lost."""

from collections.abc import Iterator

import httpx
import pytest

from benchmarks.sections import Section
from benchmarks.serving import drain, over_http, overload, soak
from benchmarks.serving.vitals import PATHS, Probes, resident
from benchmarks.subjects import ServedStore
from evaluation.server import Server

pytestmark = pytest.mark.timing


def values(section: Section) -> dict[str, float]:
    return {figure.name: figure.value for figure in section.figures}


@pytest.fixture(scope="module")
def server(subject: ServedStore) -> Iterator[Server]:
    with over_http.ours(subject) as server:
        yield server


def test_four_times_the_capacity_is_answered_or_refused(subject: ServedStore) -> None:
    found = values(overload.measure(subject, 0.4, lambda text: None, to_measure=0.3))
    assert found["overload_offered"] == pytest.approx(4.1, rel=0.01)
    assert found["overload_answers_200"] > 0
    assert found["overload_neither_200_nor_429"] == 0
    assert found["overload_lost"] == 0
    assert found["overload_probes_failed"] == 0


def test_stores_are_loaded_under_load_without_an_error(subject: ServedStore) -> None:
    section = soak.measure(subject, 1.5, lambda text: None, every=0.6, settled=0.6, to_measure=0.3)
    found = values(section)
    assert found["soak_answers_200"] > 0
    assert (found["soak_errors"], found["soak_loads_failed"], found["soak_in_flight_afterwards"]) == (0, 0, 0)
    assert found["soak_loads"] >= 1
    rows = {row[0]: row[1] for row in section.tables[0].rows}
    assert rows["loads of the store, versions served"].endswith(", 2") or found["soak_loads"] == 1


def test_a_signal_under_load_loses_nothing(subject: ServedStore) -> None:
    found = values(drain.measure(subject, 1, lambda text: None))
    assert found["drain_endings_under_load"] == 1
    assert (found["drain_lost"], found["drain_not_200"], found["drain_exit_not_0"]) == (0, 0, 0)


def test_a_server_is_measured_and_paused_between_turns(server: Server, subject: ServedStore) -> None:
    measure = over_http.contender(server, subject.bodies, 4)
    found = measure(0.3)
    assert found.rate > 0
    assert 0 < found.p50 <= found.p99
    assert found.inference is not None
    assert 0 < found.inference < 1
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(f"{server.url}/livez", timeout=0.3)
    server.resume()
    assert httpx.get(f"{server.url}/livez").status_code == 200


def test_a_server_that_refuses_is_not_measured(server: Server) -> None:
    server.resume()
    with pytest.raises(over_http.NotServedError, match=r"was not answered with 200 throughout: \{422"):
        over_http.contender(server, [b"no image"], 2)(0.2)
    server.resume()


def test_metrics_are_read_by_name(server: Server) -> None:
    server.resume()
    assert over_http.metric(server, "guard_requests_in_flight") == 0
    assert over_http.metric(server, "guard_no_such_metric") is None


def test_memory_and_probes_are_those_of_the_server(server: Server) -> None:
    server.resume()
    assert 20e6 < resident(server.process.pid) < 2e9
    with Probes(server.port, every=0.05) as probes:
        for _ in range(10):
            httpx.get(f"{server.url}/livez")
    assert not probes.failures
    assert all(probes.latencies(path).count >= 1 for path in PATHS)
