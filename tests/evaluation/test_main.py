"""``python -m evaluation``: where it writes, and errors on one line."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from evaluation.__main__ import app
from evaluation.experiment.records.results import Results
from evaluation.report.write import write
from mutant_guard.bank.cores import available_cores
from tests.support.experiment import config_text
from tests.support.results import synthetic


def _invoke(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def _refused(*arguments: str) -> str:
    """Run a command that must be refused, and return its one line of error."""
    result = _invoke(*arguments)
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert "Traceback" not in line
    return line.removeprefix("error: ")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Write a configuration whose model does not exist."""
    path = tmp_path / "mine.toml"
    path.write_text(config_text(tmp_path / "none.onnx"), encoding="utf-8")
    return path


class _Recorder:
    """Stand-in for the experiment and for the report that remembers its arguments."""

    def __init__(self, results: Results) -> None:
        self.results = results
        self.told: list[Any] = []
        self.options: dict[str, Any] = {}
        self.written: list[tuple[Results, Path]] = []

    def experiment(self, *told: Any, **options: Any) -> "_Recorder":
        self.told, self.options = list(told), options
        return self

    def run(self) -> Results:
        return self.results

    def write(self, results: Results, folder: Path) -> None:
        self.written.append((results, folder))


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> _Recorder:
    found = _Recorder(synthetic(small=True))
    monkeypatch.setattr("evaluation.experiment.run.Experiment", found.experiment)
    monkeypatch.setattr("evaluation.report.write.write", found.write)
    monkeypatch.delenv("GUARD_DATA_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    return found


def test_everything_has_its_place_by_the_files_name(config: Path, recorder: _Recorder) -> None:
    result = _invoke("run", "--config", str(config))
    assert result.exit_code == 0, result.output
    name, settings, data, place, _ = recorder.told
    assert (name, settings.title) == ("mine", "Digits, in brief")
    assert (data, place.path) == (Path("../shared/data"), Path("runs/mine"))
    assert recorder.options == {"jobs": available_cores(), "threads": 0, "cluster": None}
    assert recorder.written == [(recorder.results, Path("reports/mine"))]
    assert result.stdout == "wrote reports/mine/report.md\n"


def test_every_place_can_be_chosen(
    config: Path, recorder: _Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["--out", "there", "--work", "here", "--jobs", "3", "--threads", "2"]
    monkeypatch.setenv("GUARD_DATA_DIR", "from-the-environment")
    assert _invoke("run", "--config", str(config), *options).exit_code == 0
    assert recorder.told[2:4][0] == Path("from-the-environment")
    assert recorder.told[3].path == Path("here")
    assert recorder.options == {"jobs": 3, "threads": 2, "cluster": None}
    assert recorder.written[0][1] == Path("there")
    assert _invoke("run", "--config", str(config), "--data", "given").exit_code == 0
    assert recorder.told[2] == Path("given")


def test_a_configuration_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        assert f"{path} cannot be read" in _refused("run", "--config", str(path))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("title =", "title :", "is no TOML file"),
        ("seeds = [0, 1]", "seeds = []", "pools.seeds"),
        ("normal = 60", "normal = 60\nheadline = 1", "headline: Extra inputs are not permitted"),
        ("pgd 51/255", "fgsm", "attacks need names of their own; used twice: fgsm"),
        ("pgd 51/255", "wrong", "used twice: wrong"),
        ("main_rate = 0.05", "main_rate = 0.5", "main_rate 0.5 is none of the rates [0.02, 0.05]"),
    ],
)
def test_what_is_wrong_in_it_is_said(config: Path, old: str, new: str, said: str) -> None:
    config.write_text(config.read_text().replace(old, new))
    line = _refused("run", "--config", str(config))
    assert str(config) in line
    assert said in line


def test_data_that_are_not_there_are_said_before_anything_is_done(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config.write_text(config.read_text().replace('"digits"', '"mnist:{data}/mnist"'))
    gone = tmp_path / "gone"
    said = "give --data, or set GUARD_DATA_DIR to the folder of the data"
    assert _refused("run", "--config", str(config), "--data", str(gone)) == f"there is no {gone}; {said}"
    monkeypatch.setenv("GUARD_DATA_DIR", str(tmp_path / "nor-here"))
    assert _refused("run", "--config", str(config)) == f"there is no {tmp_path / 'nor-here'}; {said}"
    assert [path.name for path in tmp_path.iterdir()] == ["mine.toml"]


def test_a_model_that_is_not_there_is_said(config: Path, tmp_path: Path) -> None:
    options = ["--work", str(tmp_path / "work"), "--out", str(tmp_path / "out"), "--threads", "1"]
    result = _invoke("run", "--config", str(config), *options)
    assert result.exit_code == 1
    line = result.stderr.splitlines()[-1]
    assert line.startswith(f"error: there is no {tmp_path / 'none.safetensors'}; python -m evaluation.train")
    assert "Traceback" not in result.output
    assert not (tmp_path / "out").exists()


def test_a_report_is_made_anew(tmp_path: Path) -> None:
    empty: dict[str, list[object]] = {  # no cells, as drawing takes long
        name: []
        for name in ("adaptive", "curves", "scatter", "histograms", "mutants_used", "label_change_rates")
    }
    write(synthetic(small=True).model_copy(update={**empty, "cells": []}), tmp_path)
    page = (tmp_path / "report.md").read_bytes()
    (tmp_path / "report.md").write_text("edited")
    result = _invoke("report", str(tmp_path))
    assert result.exit_code == 0, result.output
    assert result.stdout == f"wrote {tmp_path}/report.md\n"
    assert (tmp_path / "report.md").read_bytes() == page
    assert page.startswith(b"# A synthetic experiment\n")


def test_a_report_of_nothing_is_refused(tmp_path: Path) -> None:
    assert "give the folder of an experiment that has run to its end" in _refused("report", str(tmp_path))
    (tmp_path / "results.json").write_text("{}")
    assert "run the experiment again" in _refused("report", str(tmp_path))


def test_without_a_command_help_is_shown() -> None:
    assert {"run", "report"} <= set(_invoke().output.split())
