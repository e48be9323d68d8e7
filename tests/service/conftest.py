"""A digits store for the online half, made once, and what its tests are run with."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from mutant_store.reader import Store, open_store
from tests.support.service import HeldSession


@pytest.fixture(scope="session")
def digits_store(demo_store: Path) -> Path:
    """Directory of a store of 60 mutants, not to be changed by tests."""
    return demo_store


@pytest.fixture(scope="session")
def store(digits_store: Path) -> Store:
    """Its opened version."""
    return open_store(digits_store)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No GUARD_ variable of whoever runs the tests reaches them, and no key file is left behind."""
    for name in [name for name in os.environ if name.startswith("GUARD_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GUARD_ORDER_KEY_FILE", str(tmp_path / "state" / "order.key"))


@pytest.fixture
def held_guard_session(digits_store: Path, monkeypatch: pytest.MonkeyPatch) -> HeldSession:
    """What the next guard runs on: the store's bank, held until it is released."""
    session = HeldSession.of(digits_store)
    monkeypatch.setattr("service.guard.load_engine", lambda store, **_: session)
    return session


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """Commands configure structlog for the process."""
    yield
    structlog.reset_defaults()
