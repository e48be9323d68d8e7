"""The demo store as the offline half's tests use it."""

from pathlib import Path

import pytest

from mutant_store.bank_session import BankSession
from mutant_store.reader import Store, open_store


@pytest.fixture(scope="session")
def digits_store(demo_store: Path) -> tuple[Path, Store]:
    """Directory of a store, not to be changed by tests, and its opened version."""
    return demo_store, open_store(demo_store)


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> list[BankSession]:
    """The bank sessions that are closed, in that order; they stay open."""
    sessions: list[BankSession] = []

    def close(session: BankSession) -> None:
        sessions.append(session)

    monkeypatch.setattr(BankSession, "close", close)
    return sessions
