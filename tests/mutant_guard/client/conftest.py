"""Clients behind one interface with a clock set by hand, and a server process to call."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mutant_guard.client import GuardClient, ReviewEntry
from service.keys.api_keys import Detail, Role
from tests.mutant_guard.client.either import Either, HandClock
from tests.support.api_keys import add_key
from tests.support.process import Server, serve
from tests.support.service import digits, encode


@dataclass(frozen=True)
class Guarded:
    """Server with a review queue, and one key of each kind."""

    server: Server
    client: str
    reviewer: str
    partner: str
    """Key whose caller gets the verdict alone."""
    hurried: str
    """Key that may send one request a second."""

    @property
    def url(self) -> str:
        return self.server.url


@pytest.fixture(scope="session")
def guarded(digits_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """Yield a server process, shared by all tests of clients."""
    folder = tmp_path_factory.mktemp("guarded")
    keys = folder / "keys.json"
    made = {
        "client": add_key(keys, "client"),
        "reviewer": add_key(keys, "reviewer", role=Role.REVIEWER),
        "partner": add_key(keys, "partner", response_detail=Detail.VERDICT),
        "hurried": add_key(keys, "hurried", requests_per_second=1.0, burst=1),
    }
    variables = {
        "GUARD_API_KEYS_FILE": str(keys),
        "GUARD_REVIEW_IMAGES": "true",
        "GUARD_ALLOW_GUARD_OFF": "true",
    }
    with serve(digits_store, folder / "log", **variables) as server:
        yield Guarded(server, **made)


@pytest.fixture(autouse=True)
def _no_server_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MUTANT_GUARD_URL", "MUTANT_GUARD_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture(params=["blocking", "asyncio"])
def either(request: pytest.FixtureRequest, clock: HandClock) -> Either:
    """Return the blocking client first, then the one on asyncio."""
    return Either(request.param == "asyncio", clock)


@pytest.fixture
def entries(guarded: Guarded) -> Iterator[list[ReviewEntry]]:
    """Yield the entries that wait for review at a server that was sent suspicious images."""
    with GuardClient(guarded.url, key=guarded.reviewer) as client:
        alarms = sum(
            one.adversarial
            for one in client.classify_many([encode(image) for image in digits(60, noise=0.6)])
        )
        assert alarms >= 3
        give_up = time.monotonic() + 10
        while len(found := list(client.reviews("all"))) < 3:
            assert time.monotonic() < give_up
            time.sleep(0.01)  # entries are written beside requests
        yield found
