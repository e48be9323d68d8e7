"""Service times from loads that are made up, and from real servers on digits."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.load.report import Latencies, Report
from benchmarks.scale import engine_times, validation
from benchmarks.scale.calibration import Calibration, Load, Served, calibrate, service_times
from benchmarks.scale.engine_times import EngineTimes
from benchmarks.scale.model.engine import RunLimits, RunTimes
from benchmarks.scale.proxy import CONFIGURATION, Deployed, ProxyError, configuration
from benchmarks.scale.service_times import Work
from benchmarks.subjects import ServedStore

NONE = Latencies(0, 0.0, 0.0, 0.0)
ENGINE = EngineTimes(RunTimes(1e-4, 0.0, 1e-5, 0.0), RunLimits(100, 1, 64, 9), [[1]], 0.0, False)


def load(rate: float, client: float, *spent: float) -> Load:
    report = Report({200: 10}, {200: NONE}, rate, 0, 0, 0, NONE, {}, 1.0, None, processor=10 * client)
    return Load(report, list(spent))


def test_work_is_that_under_load_and_the_rest_of_a_lone_request_is_wakes_and_hops() -> None:
    found = Calibration(
        alone=load(500.0, 3e-4, 8e-5, 6e-4),
        busy=load(2000.0, 1e-4, 6e-5, 4e-4),
        direct=load(2500.0, 1e-4, 4e-4),
        sparse=load(250.0, 4e-4, 9e-5, 5e-4, 2.5e-4),
    )
    times = service_times("made up", ENGINE, found)
    assert (times.client.work, times.client.wake) == pytest.approx((1e-4, 2e-4))
    assert (times.proxy.work, times.proxy.wake) == pytest.approx((6e-5, 1e-5)), "twice asleep"
    assert ENGINE.seconds(1) == pytest.approx(1.1e-4)
    assert ENGINE.seconds(32) == pytest.approx(1e-5 + 1e-4 / 32)
    assert times.http.work == pytest.approx(4e-4 - ENGINE.seconds(32))
    assert times.http.wake == pytest.approx(6e-4 - 1.1e-4 - times.http.work)
    assert times.hop == pytest.approx((2e-3 - 3e-4 - 8e-5 - 6e-4) / 4)
    colder = [part.cold for part in (times.client, times.proxy, times.http)]
    assert colder == pytest.approx([2e-4, 1e-5, 3e-4]), "twice what a request now and then takes more"
    assert (times.client.cooling, times.http.cooling) == pytest.approx((1 / 250, 2 / 250)), "two replicas"


def test_wakes_that_come_at_random_take_what_was_measured() -> None:
    """Sleeps between random requests are exponential, and half of the cold shows in their mean."""
    part = Work(1e-3, wake=1e-4, cold=4e-4, cooling=5e-3)
    draws = np.random.default_rng(0).exponential(5e-3, 20_000)
    mean = np.mean([part.waking(0.0).after(float(sleep)) for sleep in draws])
    assert mean == pytest.approx(1e-4 + 2e-4, rel=0.02)
    assert part.waking(0.0).after(0.0) == 1e-4
    assert part.waking(0.0).after(1.0) == pytest.approx(5e-4)


def test_nothing_is_below_zero() -> None:
    found = Calibration(
        alone=load(9e9, 1e-5, 1e-6, 1e-6),
        busy=load(9e9, 1e-4, 6e-5, 1e-6),
        direct=load(9e9, 1e-4, 1e-6),
        sparse=load(9e9, 1e-6, 1e-6, 1e-6),
    )
    times = service_times("made up", ENGINE, found)
    assert (times.hop, times.http.work, times.http.wake, times.proxy.wake, times.client.wake) == (0,) * 5
    assert (times.http.cold, times.proxy.cold, times.client.cold) == (0,) * 3


def test_the_proxy_has_the_deployed_configuration_but_for_the_way_to_its_replicas() -> None:
    text = CONFIGURATION.read_text()
    lines = configuration(text, [(81, 91), (82, 92)]).splitlines()
    kept = [line for line in text.splitlines() if "server-template" not in line]
    assert [line for line in lines if not line.startswith("    server ")] == kept
    assert "    server replica-2 127.0.0.1:82 check port 92" in lines
    with pytest.raises(ProxyError, match="0 lines 'server-template'"):
        configuration("", [(81, 91)])


def test_what_is_deployed_is_read(tmp_path: Path) -> None:
    found = Deployed.read()
    assert found.balance in ("roundrobin", "leastconn")
    assert (found.threads, found.replicas) == (2, 32)
    (tmp_path / "haproxy.cfg").write_text("balance first\n")
    with pytest.raises(ProxyError, match="nbthread"):
        Deployed.read(tmp_path / "haproxy.cfg")


@pytest.fixture(scope="module")
def engine(subject: ServedStore) -> EngineTimes:
    return engine_times.measure(subject.path, subject.bodies[:60], 0.1)


def test_an_engine_is_measured_and_its_paths_are_those_of_the_images(
    engine: EngineTimes, subject: ServedStore
) -> None:
    assert len(engine.paths) == 60
    assert all(1 <= wanted for path in engine.paths for wanted in path)
    assert max(map(len, engine.paths)) <= subject.store.manifest.mutants
    assert 0 < engine.seconds(32) < engine.seconds(1) < 1
    assert 0 < engine.decode < 0.1
    assert not engine.decodes_aside


@pytest.mark.timing
def test_real_replicas_are_measured_and_simulated(
    engine: EngineTimes, subject: ServedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validation, "REPLICAS", (1,))
    monkeypatch.setattr(validation, "SHARES", (0.5,))
    served = Served(subject.path, "digits", subject.bodies, "image/png")
    try:
        calibration = calibrate(served, engine, 0.4)
        (found,) = validation.compare(served, engine, calibration, True, lambda text: None)
    except ProxyError as error:
        pytest.skip(str(error))
    assert found.measured.count == found.simulated.count > 50
    assert 0.1 < found.ratio("p50") < 10
    table, figures = validation.table("digits", [found])
    assert {len(row) for row in table.rows} == {len(table.columns)}
    assert [figure.name for figure in figures] == ["scale_digits_1_p50_off", "scale_digits_1_p99_off"]
