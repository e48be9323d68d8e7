import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.__main__ import app
from benchmarks.bank import storage
from benchmarks.figures import Figure
from benchmarks.sections import Section, Table


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the measurements of sizes and of memory by fixed sections."""
    section = Section(
        "Storage", [Table("Sizes", ["", "MB"], [["LeNet", "3"]])], [Figure("size", 0.9, "%", 1)]
    )
    monkeypatch.setattr(storage, "measure", lambda say: section)
    monkeypatch.setattr("benchmarks.bank.memory.measure", lambda quick, say: Section("Memory", [], []))


@pytest.mark.usefixtures("measured")
def test_a_command_prints_tables_and_then_a_line_for_every_figure(tmp_path: Path) -> None:
    out = tmp_path / "RESULTS.md"
    result = CliRunner().invoke(app, ["storage", "--quick", "--out", str(out)])
    assert result.exit_code == 0, result.output
    *table, last = result.stdout.splitlines()
    assert any("LeNet" in line for line in table)
    assert json.loads(last) == {"figure": "size", "value": 0.9, "unit": "%", "target": 1, "met": False}
    page = out.read_text()
    assert "a quick run" in page
    assert "1 of 1 targets missed" in page


@pytest.mark.usefixtures("measured")
def test_nothing_is_written_unless_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(app, ["storage"]).exit_code == 0
    assert list(tmp_path.iterdir()) == []


def test_without_mnist_everything_stops_at_once(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["all", "--quick", "--mnist", str(tmp_path / "gone")])
    assert result.exit_code == 1
    assert "gone" in result.stderr
