from pathlib import Path
from types import SimpleNamespace

from benchmarks.rounds import Measured
from benchmarks.serving.public_servers import SERVERS
from benchmarks.serving.serving_table import Names, section
from benchmarks.subjects import ServedStore

ROUNDS = {
    Names.ENGINE: [Measured(600.0), Measured(500.0)],
    Names.SESSIONS: [Measured(100.0), Measured(100.0)],
    Names.GUARDED: [Measured(100.0, 0.02, 0.03, 0.9), Measured(80.0, 0.02, 0.03, 0.8)],
    Names.OFF: [Measured(400.0, 0.01, 0.02), Measured(400.0, 0.01, 0.02)],
    Names.GUARDED_ALONE: [Measured(1.0, 0.004, 0.005), Measured(1.0, 0.003, 0.005)],
    Names.OFF_ALONE: [Measured(1.0, 0.002, 0.005), Measured(1.0, 0.001, 0.005)],
    Names.SESSIONS_HTTP: [Measured(50.0, 0.1, 0.2), Measured(20.0, 0.1, 0.2)],
    SERVERS[0].title: [Measured(200.0, 0.1, 0.2), Measured(160.0, 0.1, 0.2)],
}


def subject(name: str) -> ServedStore:
    """Return a store of which only the name is read."""
    store = SimpleNamespace(name=name)
    return ServedStore(Path(name), store, None)  # type: ignore[arg-type]


def test_stores_are_held_to_their_targets() -> None:
    found = section(subject("mnist-lenet"), ROUNDS, ["a note"])
    figures = {figure.name: figure for figure in found.figures}
    values = {name: (round(figure.value, 6), figure.target, figure.met) for name, figure in figures.items()}
    assert values["mnist_lenet_engine_vs_sessions"] == (5.5, 5.0, True)
    assert values["mnist_lenet_http_vs_sessions"] == (3.0, 3.0, True)
    assert values["mnist_lenet_guarded_vs_off"] == (0.225, 0.7, False)
    assert values["mnist_lenet_latency_vs_off"] == (2.5, 1.5, False)
    assert values["mnist_lenet_guarded_vs_litserve"] == (0.5, None, None)
    assert values["mnist_lenet_inference_share"] == (85.0, None, None)
    assert "mnist_lenet_http_vs_paper" not in figures
    assert found.tables[0].notes == ["a note"]
    assert found.tables[0].rows[0] == [Names.ENGINE, "550 (500–600)", "", ""]
    retrained = {f.name: f.target for f in section(subject("mnist-lenet-retrained"), ROUNDS, []).figures}
    assert retrained["mnist_lenet_retrained_http_vs_sessions"] == 1.1
    assert retrained["mnist_lenet_retrained_guarded_vs_off"] == 0.85
    assert retrained["mnist_lenet_retrained_engine_vs_sessions"] is None
    assert found.tables[0].rows[2] == [Names.GUARDED, "90 (80–100)", "20 (20–20)", "30 (30–30)"]


def test_other_stores_are_reported_and_the_large_one_is_held_to_its_share() -> None:
    targets = {f.name: f.target for f in section(subject("cifar10-resnet20"), ROUNDS, []).figures}
    assert targets.pop("cifar10_resnet20_inference_share") == 85
    assert set(targets.values()) == {None}
    shares = [f for f in section(subject("mnist-lenet-retrained"), ROUNDS, []).figures if "share" in f.name]
    assert [figure.target for figure in shares] == [None]


def test_a_server_that_does_not_say_has_no_share() -> None:
    silent = ROUNDS | {Names.GUARDED: [Measured(1.0, 0.1, 0.1), Measured(1.0, 0.1, 0.1)]}
    figures = section(subject("mnist-lenet"), silent, []).figures
    assert not any("share" in figure.name for figure in figures)
