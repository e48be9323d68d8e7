"""The demo store as the offline half's tests use it."""

from pathlib import Path

import pytest

from mutant_store.reader import Store, open_store


@pytest.fixture(scope="session")
def digits_store(demo_store: Path) -> tuple[Path, Store]:
    """Directory of a store, not to be changed by tests, and its opened version."""
    return demo_store, open_store(demo_store)
