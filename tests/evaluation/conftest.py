"""A tiny classifier, trained once by the command itself."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

from evaluation.train import app
from mutant_guard.store.reader import Store, load_store
from tests.support.experiment import Ran, run_experiment
from tests.support.kept import kept
from tests.support.retrain_experiment import retrain_config_text


@pytest.fixture(scope="session", autouse=True)
def _two_threads() -> None:
    torch.set_num_threads(2)


def run_tiny(out: Path, *options: str) -> Result:
    """Run ``evaluation.train digits`` on 100 images for 8 epochs, with more options if given."""
    tiny = ["digits", "--data", "digits@train[0:100]", "--device", "cpu"]
    tiny += ["--epochs", "8", "--batch-size", "10", "--learning-rate", "0.1"]
    return CliRunner().invoke(app, [*tiny, "--out", str(out), *options], catch_exceptions=False)


@pytest.fixture(scope="session")
def run_train() -> Callable[..., Result]:
    """The training command on a few images; see ``run_tiny``."""
    return run_tiny


@pytest.fixture(scope="session")
def tiny_model() -> Path:
    """The ONNX file of an uninterrupted run, its weights beside it; not to be changed by tests."""

    def make(folder: Path) -> None:
        threads = torch.get_num_threads()
        result = run_tiny(folder / "tiny.onnx")
        torch.set_num_threads(threads)
        assert result.exit_code == 0, result.output

    return kept("tiny", make) / "tiny.onnx"


@pytest.fixture(scope="session")
def retrain_ran(tiny_model: Path) -> Ran:
    """A whole experiment with mutants that were trained again; what it left is not to be changed by tests."""
    return run_experiment("retrain", retrain_config_text(tiny_model))


@pytest.fixture(scope="session")
def robust_store(certified_store: Path) -> Store:
    """A store of a robust mutant with bounds and four others; not to be changed by tests."""
    return load_store(certified_store)
