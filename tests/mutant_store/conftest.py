"""A digits classifier and a store of it, made once."""

from pathlib import Path

import pytest

from mutant_store.reader import Store
from tests.support.demo import build_digits_store, train_digits_model


@pytest.fixture(scope="session")
def digits_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_digits_model(tmp_path_factory.mktemp("model") / "digits.onnx")


@pytest.fixture(scope="session")
def digits_store(digits_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Store]:
    """Directory of a store, not to be changed by tests, and its opened version."""
    path = tmp_path_factory.mktemp("stores") / "digits"
    return path, build_digits_store(digits_model, path)
