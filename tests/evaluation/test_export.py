"""The ONNX file of weights that were trained elsewhere."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from evaluation.export import app

pytestmark = pytest.mark.slow

RunTrain = Callable[..., Result]


def export(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False)


def test_it_is_the_file_that_training_writes(tiny_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "moved.safetensors"
    shutil.copy(tiny_model.with_suffix(".safetensors"), path)
    result = export(str(path), "--data", "digits@train[0:100]")
    assert result.exit_code == 0, result.output
    assert path.with_suffix(".onnx").read_bytes() == tiny_model.read_bytes()
    last = result.output.splitlines()[-1]
    assert "of 600" in last
    assert "of 297" in last


def test_training_without_an_onnx_file_leaves_it_to_the_export(
    tiny_model: Path, tmp_path: Path, run_train: RunTrain
) -> None:
    out = tmp_path / "few.onnx"
    result = run_train(out, "--no-onnx")
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["few.curve.csv", "few.safetensors"]
    assert result.output.splitlines()[-1].endswith(f"{out.with_suffix('.safetensors')}")
    assert out.with_suffix(".safetensors").read_bytes() == tiny_model.with_suffix(".safetensors").read_bytes()


def test_weights_that_are_not_there_are_named(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, [str(tmp_path / "gone.safetensors")])
    assert result.exit_code == 1
    assert "there is no" in result.stderr
