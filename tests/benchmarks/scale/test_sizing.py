"""What a rate takes, from service times that are made up."""

from dataclasses import replace
from math import ceil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks import scale
from benchmarks.__main__ import app
from benchmarks.scale import measured as file
from benchmarks.scale import sizing
from benchmarks.scale.measured import Measured
from benchmarks.scale.model.cluster import Arrangement
from benchmarks.scale.proxy import Deployed
from benchmarks.scale.sizing import Assumptions, Sizes
from mutant_guard.errors import DataError

DEPLOYED = Deployed.read()


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulate little."""
    monkeypatch.setattr(sizing, "_QUICK_REQUESTS", 400)
    monkeypatch.setattr(sizing, "_CAPACITY_ANSWERS", 300)
    monkeypatch.setattr(sizing, "UTILISATIONS", (0.3, 0.6, 0.9))


def test_replicas_are_those_of_the_best_utilisation_and_a_domain_to_spare(measured: Measured) -> None:
    sizes = Sizes(capacity=1000.0, loads=[], best=0.5)
    found = sizing.needs(measured, sizes, 10_000, Assumptions(domains=3))
    assert found.replicas == ceil(20 * 3 / 2) == found.cores
    assert sizing.needs(measured, sizes, 10_000, Assumptions(domains=2)).replicas == 40
    own = replace(measured, times=replace(measured.times, takes_turns=False))
    assert sizing.needs(own, sizes, 10_000, Assumptions()).cores == 60


def test_proxies_are_for_their_processor_or_for_the_replicas(measured: Measured) -> None:
    few, many = Sizes(10_000.0, [], 0.5), Sizes(100.0, [], 0.5)
    by_processor = sizing.needs(measured, few, 100_000, Assumptions())
    assert by_processor.proxies == ceil(100_000 * 6e-5 / (DEPLOYED.threads * sizing.FULL))
    assert by_processor.proxies_by == "processor"
    by_replicas = sizing.needs(measured, many, 100_000, Assumptions())
    assert by_replicas.proxies == ceil(by_replicas.replicas / DEPLOYED.replicas)
    assert by_replicas.proxies_by == "replicas"


def test_redis_and_network_are_counted_in_requests(measured: Measured) -> None:
    found = sizing.needs(measured, Sizes(1000.0, [], 0.5), 100_000, Assumptions())
    assert found.redis == 2 * 100_000, "one call before the test and one after it"
    assert found.shards == ceil(100_000 * 2e-5 / sizing.FULL)
    assert found.gbit == pytest.approx(100_000 * 1500 * 8 / 1e9)
    without = sizing.needs(replace(measured, redis=[]), Sizes(1000.0, [], 0.5), 100_000, Assumptions())
    assert (without.redis, without.shards) == (0, 0)


def test_an_objective_that_is_never_kept_has_no_answer(measured: Measured) -> None:
    with pytest.raises(ValueError, match="no utilisation keeps a p99 of 1 ms"):
        sizing.needs(measured, Sizes(1000.0, [], 0.0), 10_000, Assumptions(p99_ms=1))


def test_capacity_is_what_a_replica_does_at_most(measured: Measured) -> None:
    found = sizing.capacity(measured.times, Arrangement(proxy=False))
    mutants = 28
    most = 1 / (3e-4 + 1e-5 + mutants * 2e-6)
    assert 0.7 * most < found < most


def test_latency_grows_with_utilisation_and_the_best_keeps_the_objective(measured: Measured) -> None:
    found = sizing.simulate(measured.times, Assumptions(p99_ms=1000), True, lambda text: None)
    p99 = [load.latencies["roundrobin"].p99 for load in found.loads]
    assert p99 == sorted(p99)
    assert found.best == 0.9
    assert found.loads[0].bursts.p99 > p99[0]
    between = 1000 * (p99[0] + p99[1]) / 2
    assert sizing.simulate(measured.times, Assumptions(between), True, lambda text: None).best == 0.3
    assert sizing.simulate(measured.times, Assumptions(0.01), True, lambda text: None).best == 0


def test_the_page_says_what_rates_take_and_cost(measured: Measured) -> None:
    other = replace(measured, times=replace(measured.times, name="other"), redis=[])
    section = scale.extrapolate([measured, other], Assumptions(), True, lambda text: None)
    tables = {table.title: table for table in section.tables}
    assert {"What a rate takes", "What saturates first", "Cost of a million images"} < tables.keys()
    for table in section.tables:
        assert {len(row) for row in table.rows} == {len(table.columns)}, table.title
    firsts = [row for row in tables["What saturates first"].rows if row[0] == "made-up"]
    most = [float(row[2].replace(",", "")) for row in firsts]
    assert most == sorted(most)
    assert firsts[0][1] == "a replica (1 core)"
    (cost,) = [row for row in tables["Cost of a million images"].rows if row[0] == "made-up"]
    assert cost[1:5] == ["400", "60", "20", f"{0.04 * 480 / 3600:.3g}"]
    (alarms,) = [
        row for row in tables["Alarms and the review queue"].rows if row[:2] == ["made-up", "100,000"]
    ]
    assert alarms[3:6] == ["4,000", "3.46e+08", "0.25"]
    figures = {figure.name: figure.value for figure in section.figures}
    rows = {(row[0], row[1]): row[2] for row in tables["What a rate takes"].rows}
    assert rows["made-up", "100,000"] == f"{figures['scale_made_up_replicas_100000']:,.0f}"
    assert set(section.pictures) == {"scale.png"}


def test_an_objective_out_of_reach_is_said(measured: Measured) -> None:
    section = scale.extrapolate([measured], Assumptions(p99_ms=0.01), True, lambda text: None)
    (table,) = [table for table in section.tables if table.title == "What a rate takes"]
    assert [row[2] for row in table.rows] == ["none keeps the objective"] * 3
    assert {len(row) for row in table.rows} == {len(table.columns)}


def test_what_was_measured_is_kept_in_a_file(measured: Measured, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "scale.json"
    file.write(path, [measured])
    assert file.read(path) == [measured]
    path.write_text("[{}]")
    with pytest.raises(DataError, match="holds no service times; measure them with make bench-scale"):
        file.read(path)


def test_the_command_simulates_with_times_from_a_file(measured: Measured, tmp_path: Path) -> None:
    file.write(tmp_path / "scale.json", [measured])
    given = ["scale", "--quick", "--times", str(tmp_path / "scale.json"), "--out", str(tmp_path / "SCALE.md")]
    done = CliRunner().invoke(app, [*given, "--core-hour", "36", "--p99-ms", "200"])
    assert done.exit_code == 0, done.output
    page = (tmp_path / "SCALE.md").read_text()
    assert "| made-up | 400 | 60 | 20 | 4.8 |" in page, "480 core-seconds at a hundredth a second"
    assert "with a p99 of at most 200 ms" in page
    assert "![Scale](scale.png)" in page
    assert (tmp_path / "scale.png").stat().st_size > 10_000
    missing = CliRunner().invoke(app, ["scale", "--times", str(tmp_path / "none.json")])
    assert missing.exit_code == 1
    assert "none.json holds no service times" in missing.output


def test_calls_to_redis_lower_the_capacity_and_lengthen_the_way(measured: Measured) -> None:
    assumptions = Assumptions(round_trip_ms=2.0)
    without = sizing.capacity(measured.times, Arrangement(proxy=False))
    own, latencies = sizing.with_redis(measured, measured.redis[0], assumptions, True)
    assert own == pytest.approx(1 / (1 / without + 4e-4), rel=0.1), "400 µs of the event loop more"
    assert latencies.p50 > 2 * 0.002
