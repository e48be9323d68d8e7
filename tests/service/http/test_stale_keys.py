"""A file of API keys that cannot be read any more: callers are told, and so are probes and metrics."""

from pathlib import Path

import pytest

from service.guard_service import GuardService
from tests.support.api_keys import add_key
from tests.support.service import Clock, digits, encode, serving, settings_for

pytestmark = pytest.mark.anyio

IMAGE = encode(digits(1)[0])


async def test_nobody_is_let_in_for_longer_than_the_time_of_grace(
    digits_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "keys.json"
    headers = {"X-API-Key": add_key(path)}
    reviewer = {"X-API-Key": add_key(path, "rita", role="reviewer")}
    clock = Clock()
    monkeypatch.setattr("service.keys.key_ring.time", clock)
    guard = GuardService(settings_for(digits_store, api_keys_file=path, api_keys_grace_seconds=60))

    def stale() -> float | None:
        return guard.metrics.registry.get_sample_value("guard_api_keys_stale_seconds")

    async with serving(guard) as client:
        aside = path.rename(tmp_path / "aside.json")
        clock.now += 30
        assert (await client.post("/classify", content=IMAGE, headers=headers)).status_code == 200
        assert (await client.get("/readyz")).status_code == 200
        assert stale() == 30
        clock.now += 30
        for answer in (
            await client.post("/classify", content=IMAGE, headers=headers),
            await client.get("/review", headers=reviewer),
            await client.post("/v2/repository/models/digits/load", headers=headers),
            await client.get("/v2/models", headers=headers),
            await client.get("/readyz"),
            await client.get("/v2/health/ready"),
        ):
            assert (answer.status_code, answer.json()["type"]) == (503, "urn:mutant-guard:problem:not-ready")
            assert "keys" in answer.json()["detail"]
            assert str(tmp_path) not in answer.text
        assert (await client.get("/livez")).status_code == 200  # a restart would not help
        aside.rename(path)
        clock.now += 1
        assert (await client.get("/readyz")).status_code == 200
        assert (await client.post("/classify", content=IMAGE, headers=headers)).status_code == 200
        assert stale() == 0


def test_without_a_file_of_keys_nothing_is_stale(digits_store: Path) -> None:
    guard = GuardService(settings_for(digits_store))
    assert guard.metrics.registry.get_sample_value("guard_api_keys_stale_seconds") is None
