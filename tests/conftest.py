"""Real data for the tests that want it."""

import os
from pathlib import Path

import pytest


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
