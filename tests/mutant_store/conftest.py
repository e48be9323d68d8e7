"""Fixtures for the tests of the offline job."""

import pytest

from mutant_guard.bank.bank_session import BankSession
from tests.support.fixtures import published_store  # noqa: F401


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> list[BankSession]:
    """Return the bank sessions that are closed, in that order, without closing them."""
    sessions: list[BankSession] = []

    def close(session: BankSession) -> None:
        sessions.append(session)

    monkeypatch.setattr(BankSession, "close", close)
    return sessions
