"""A tiny classifier, trained once by the command itself."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

from evaluation.train import app


@pytest.fixture(scope="session", autouse=True)
def _two_threads() -> None:
    torch.set_num_threads(2)


@pytest.fixture(scope="session")
def run_train() -> Callable[..., Result]:
    """Runs ``evaluation.train digits`` on 100 images for 8 epochs, with more options if given."""

    def run(out: Path, *options: str) -> Result:
        tiny = ["digits", "--data", "digits@train[0:100]", "--device", "cpu"]
        tiny += ["--epochs", "8", "--batch-size", "10", "--learning-rate", "0.1"]
        return CliRunner().invoke(app, [*tiny, "--out", str(out), *options], catch_exceptions=False)

    return run


@pytest.fixture(scope="session")
def tiny_model(run_train: Callable[..., Result], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ONNX file of an uninterrupted run, its weights beside it. Not to be changed by tests."""
    path = tmp_path_factory.mktemp("tiny") / "tiny.onnx"
    result = run_train(path)
    assert result.exit_code == 0, result.output
    return path
