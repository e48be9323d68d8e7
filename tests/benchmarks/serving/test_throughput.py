"""The whole comparison on digits, with a round that ends at once."""

from pathlib import Path

import pytest

from benchmarks.serving import public_servers
from benchmarks.serving import throughput as serving
from benchmarks.serving.serving_table import Names
from benchmarks.subjects import ServedStore

pytestmark = pytest.mark.timing


def test_every_contender_is_measured_and_those_that_are_not_there_are_named(
    demo_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(public_servers, "FOLDER", tmp_path / "file")
    monkeypatch.setattr(ServedStore, "weights", tmp_path / "none.safetensors")
    for name, value in {"_QUICK_ROUNDS": 1, "_QUICK_SECONDS": 0.2, "_QUICK_WARM_UP": 0.1}.items():
        monkeypatch.setattr(serving, name, value)
    section = serving.measure(ServedStore.of(demo_store, tmp_path), True, lambda text: None)
    rates, ratios = section.tables
    expected = [name for name in Names if name not in (Names.EAGER, Names.EAGER_PAPER)]
    assert [row[0] for row in rates.rows] == expected
    notes = "\n".join(rates.notes)
    assert "Eager torch is left out" in notes
    assert all(f"{server.title} is left out" in notes for server in public_servers.SERVERS)
    assert {figure.name for figure in section.figures} == {
        f"digits_{name}"
        for name in (
            "engine_vs_sessions",
            "http_vs_sessions",
            "guarded_vs_off",
            "remembering_vs_not",
            "latency_vs_off",
            "inference_share",
        )
    }
    assert all(figure.value > 0 for figure in section.figures)
    assert len(ratios.rows) == len(section.figures)
