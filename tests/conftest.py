"""Real data for the tests that want it, and the demo classifier with its store, made once."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.demo import build_digits_store, build_retrained_store, train_digits_model

# How long an example takes says nothing where tests run side by side.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with ``mnist/`` and ``cifar10/``; tests that need it are skipped where it is absent."""
    named = os.environ.get("GUARD_DATA_DIR")
    folder = Path(named) if named else Path(__file__).parents[1] / "../shared/data"
    if not folder.is_dir():
        pytest.skip(
            "no MNIST and CIFAR-10 here: set GUARD_DATA_DIR to a folder with mnist/ and cifar10/ in it"
        )
    return folder.resolve()


@pytest.fixture(scope="session")
def digits_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ONNX file of a perceptron on digits."""
    return train_digits_model(tmp_path_factory.mktemp("model") / "digits.onnx")


@pytest.fixture(scope="session")
def demo_store(digits_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory of its store of 60 mutants, not to be changed by tests."""
    path = tmp_path_factory.mktemp("stores") / "digits"
    build_digits_store(digits_model, path)
    return path


@pytest.fixture(scope="session")
def retrained_store(digits_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory of its store of 4 retrained mutants, whose evidence is soft; not to be changed by tests."""
    path = tmp_path_factory.mktemp("retrained") / "digits"
    build_retrained_store(digits_model, path)
    return path


@pytest.fixture(scope="session")
def mixed_store(digits_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory of its store of 3 retrained mutants and 3 by nai in turn; not to be changed by tests."""
    path = tmp_path_factory.mktemp("mixed") / "digits"
    build_retrained_store(digits_model, path, operator="mixed:retrain,nai", mutants=6, rate=0.1)
    return path
