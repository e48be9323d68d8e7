"""The command that runs all parts, and the one that runs a part."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.__main__ import app
from benchmarks.gpu import SKIPPED, command, labels, stores, throughput
from benchmarks.gpu.__main__ import app as part_app
from benchmarks.gpu.errors import SkippedError
from benchmarks.gpu.parts import Part
from benchmarks.sections import Section


def run_part(store: Path, out: Path, seconds: str = "1") -> tuple[int, str, str]:
    options = ["--device", "cpu", "--seconds", seconds, "--data", str(out), "--work", str(out / "work")]
    result = CliRunner().invoke(part_app, ["store", str(store), *options, "--out", str(out)])
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def untimed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave throughput out."""
    monkeypatch.setattr(throughput, "measure", lambda *_: Section("Throughput", [], []))


def test_without_a_gpu_one_line_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "cards", list)
    monkeypatch.setattr(command, "run", lambda *_: pytest.fail("a part was run"))
    result = CliRunner().invoke(app, ["gpu", "--out", str(tmp_path / "out")])
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: no NVIDIA GPU here")
    assert "figure" not in result.stdout
    assert list(tmp_path.iterdir()) == []


def test_every_part_is_run_with_the_folders_on_the_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[tuple[list[Part], list[str]]] = []

    def run(chosen: list[Part], options: list[str], until: float, say: object) -> bool:
        ran.append((chosen, options))
        return False

    monkeypatch.setattr(command, "cards", lambda: ["NVIDIA H200"])
    monkeypatch.setattr(command, "run", run)
    result = CliRunner().invoke(app, ["gpu", "--data", "d", "--work", "w", "--out", "o", "--piece-mib", "15"])
    assert result.exit_code == 1
    assert "NVIDIA H200" in result.stdout
    ((chosen, options),) = ran
    assert [part.name for part in chosen] == ["lenet", "resnet20", "lite0", "googlenet"]
    assert chosen[-1].command == ("train", "--piece-mib", "15.0")
    assert options == ["--device", "cuda", "--data", "d", "--work", "w", "--out", "o"]
    CliRunner().invoke(app, ["gpu", "--no-stores"])
    CliRunner().invoke(app, ["gpu", "--no-training", "--store", "stores/own"])
    assert [[part.name for part in chosen] for chosen, _ in ran[1:]] == [["googlenet"], ["own"]]


@pytest.mark.usefixtures("untimed")
def test_a_store_whose_labels_agree_ends_well(demo_store: Path, tmp_path: Path) -> None:
    status, out, _ = run_part(demo_store, tmp_path)
    assert status == 0
    figures = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    assert figures[0] == {
        "figure": "digits_labels_that_differ",
        "value": 0.0,
        "unit": "",
        "target": 0,
        "met": True,
    }
    assert "digits_labels_that_differ" in (tmp_path / "digits.md").read_text()


@pytest.mark.usefixtures("untimed")
def test_labels_that_differ_fail_the_part_and_are_written(
    demo_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        labels, "compare", lambda expected, found: labels.Comparison(len(expected), 2, 1, 3.0)
    )
    status, _, err = run_part(demo_store, tmp_path)
    assert status == 1
    assert err.splitlines()[-1].endswith("labels on the device are not those of the CPU")
    assert "**missed**" in (tmp_path / "digits.md").read_text()


def test_labels_are_written_before_throughput_fails(
    demo_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> Section:
        raise RuntimeError("CUDA error: out of memory\nmore of it")

    monkeypatch.setattr(throughput, "measure", fail)
    status, _, err = run_part(demo_store, tmp_path)
    assert status == 1
    assert err.splitlines()[-1] == "error: RuntimeError: CUDA error: out of memory"
    assert "digits_labels_that_differ" in (tmp_path / "digits.md").read_text()


def test_a_part_that_is_skipped_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def skip(*_: object) -> None:
        raise SkippedError("the weights are not installed")

    monkeypatch.setattr(stores, "subject", skip)
    status, _, err = run_part(Path("lite0"), tmp_path)
    assert status == SKIPPED
    assert err.splitlines()[-1] == "skipped: the weights are not installed"


def test_a_device_that_is_not_there_is_said(demo_store: Path, tmp_path: Path) -> None:
    options = ["--device", "cuda", "--seconds", "1", "--data", str(tmp_path), "--work", str(tmp_path)]
    result = CliRunner().invoke(
        part_app, ["store", str(demo_store), *options, "--out", str(tmp_path / "out")]
    )
    assert result.exit_code == 1
    assert "this onnxruntime has no CUDA provider" in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_training_without_its_images_is_said(tmp_path: Path) -> None:
    options = ["--device", "cpu", "--seconds", "1", "--data", str(tmp_path), "--work", str(tmp_path)]
    result = CliRunner().invoke(part_app, ["train", *options, "--out", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert f"{tmp_path}/cifar10" in result.output
    assert not (tmp_path / "out").exists()
