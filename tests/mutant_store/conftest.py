"""Fixtures for the tests of the offline job."""

from pathlib import Path

import pytest

from mutant_guard.bank.bank_session import BankSession
from tests.support.fixtures import published_store  # noqa: F401
from tests.support.kept import kept, void


@pytest.fixture(scope="session")
def digits_weights() -> Path:
    """Weights of the registered network, the ONNX file beside them; not to be changed by tests."""
    from tests.support.retraining import train_digits_net  # torch takes seconds to import

    return kept("digits-net", lambda folder: void(train_digits_net(folder))) / "digits.safetensors"


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> list[BankSession]:
    """Return the bank sessions that are closed, in that order, without closing them."""
    sessions: list[BankSession] = []

    def close(session: BankSession) -> None:
        sessions.append(session)

    monkeypatch.setattr(BankSession, "close", close)
    return sessions
