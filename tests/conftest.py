"""Real data for the tests that want it, and the demo classifier with its store, made once."""

import gc
import os
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.demo import (
    build_companion_store,
    build_digits_store,
    build_retrained_store,
    build_robust_companion_store,
    train_digits_model,
    train_standardising_model,
    train_wide_model,
)
from tests.support.kept import kept, void

# How long an example takes says nothing where tests run side by side.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put slow tests first, so that no process is left with one of them at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def pytest_collection_finish() -> None:
    """Take what is imported by now out of garbage collection: every collection would look through it."""
    gc.collect()
    gc.freeze()


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
def digits_model() -> Path:
    """The ONNX file of a perceptron on digits, not to be changed by tests."""
    folder = kept("digits-model", lambda folder: void(train_digits_model(folder / "digits.onnx")))
    return folder / "digits.onnx"


@pytest.fixture(scope="session")
def demo_store(digits_model: Path) -> Path:
    """Directory of the store of 60 mutants of that perceptron, not to be changed by tests."""
    folder = kept("demo-store", lambda folder: void(build_digits_store(digits_model, folder / "digits")))
    return folder / "digits"


@pytest.fixture(scope="session")
def retrained_store(digits_model: Path) -> Path:
    """Directory of a store of 4 retrained mutants, whose evidence is soft; not to be changed by tests."""
    folder = kept("retrained", lambda folder: void(build_retrained_store(digits_model, folder / "digits")))
    return folder / "digits"


@pytest.fixture(scope="session")
def certified_store(digits_model: Path) -> Path:
    """Directory of a store of a robust mutant with bounds and 4 by nai; not to be changed by tests."""
    from tests.support.certified import build_certified_store

    folder = kept("certified", lambda folder: void(build_certified_store(digits_model, folder / "digits")))
    return folder / "digits"


@pytest.fixture(scope="session")
def standardising_store() -> Path:
    """Directory of a store whose classifier is 0/0 on an image of one colour; not to be changed by tests."""

    def make(folder: Path) -> None:
        build_digits_store(train_standardising_model(folder / "own.onnx"), folder / "digits")

    return kept("standardising", make) / "digits"


@pytest.fixture(scope="session")
def mixed_store(digits_model: Path) -> Path:
    """Directory of a store of 3 retrained mutants and 3 by nai in turn; not to be changed by tests."""

    def make(folder: Path) -> None:
        build_retrained_store(
            digits_model, folder / "digits", operator="mixed:retrain,nai", mutants=6, rate=0.1
        )

    return kept("mixed", make) / "digits"


@pytest.fixture(scope="session")
def companion_store(digits_model: Path) -> Path:
    """Directory of a store of two companions, one of 12×12 pixels; not to be changed by tests.

    Their files, ``wide.onnx`` and ``own.onnx``, lie beside it.
    """

    def make(folder: Path) -> None:
        wide = train_wide_model(folder / "wide.onnx")
        own = train_standardising_model(folder / "own.onnx")
        build_companion_store(digits_model, wide, own, folder / "digits")

    return kept("companions", make) / "digits"


@pytest.fixture(scope="session")
def robust_companion_store(companion_store: Path, digits_model: Path) -> Path:
    """Directory of a store of companions, a robust mutant that started from the first, and 2 by nai.

    Not to be changed by tests.
    """

    def make(folder: Path) -> None:
        wide, own = (companion_store.parent / name for name in ("wide.onnx", "own.onnx"))
        build_robust_companion_store(digits_model, wide, own, folder / "digits")

    return kept("robust-companion", make) / "digits"
