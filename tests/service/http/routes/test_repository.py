"""The model repository: its index, and new versions that take over while requests go on."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from httpx import AsyncClient
from structlog.testing import capture_logs

from service.guard_service import GuardService
from tests.support.api_keys import add_key
from tests.support.service import digits, encode, serving, settings_for
from tests.support.versions import add_version, copy_of, damage

pytestmark = pytest.mark.anyio

LOAD = "/v2/repository/models/digits/load"
IMAGE = encode(digits(1)[0])


@pytest.fixture
def changing_store(digits_store: Path, tmp_path: Path) -> Path:
    return copy_of(digits_store, tmp_path)


@pytest.fixture
def admin(tmp_path: Path) -> dict[str, str]:
    return {"X-API-Key": add_key(tmp_path / "keys.json", "ops", role="admin")}


@pytest.fixture
def user(tmp_path: Path) -> dict[str, str]:
    return {"X-API-Key": add_key(tmp_path / "keys.json", "alice")}


@pytest.fixture
def guard(changing_store: Path, tmp_path: Path, admin: dict[str, str], user: dict[str, str]) -> GuardService:
    return GuardService(settings_for(changing_store, api_keys_file=tmp_path / "keys.json"))


@pytest.fixture
async def client(guard: GuardService, anyio_backend: str) -> AsyncIterator[AsyncClient]:
    async with serving(guard) as client:
        yield client


async def test_a_load_of_what_is_loaded_changes_nothing(
    client: AsyncClient, guard: GuardService, admin: dict[str, str]
) -> None:
    before = guard.models.default
    answer = await client.post(LOAD, headers=admin)
    assert answer.status_code == 200
    assert answer.json() == {"name": "digits", "version": before.version, "state": "READY", "reason": ""}
    assert guard.models.default is before


async def test_who_loads_a_store_is_logged_with_key_and_addresses(
    client: AsyncClient, changing_store: Path, admin: dict[str, str], user: dict[str, str]
) -> None:
    sent = {"X-Request-Id": "rollout-7", "X-Forwarded-For": "198.51.100.9"}
    with capture_logs() as logs:
        await client.post(LOAD, headers=user | sent)
        version = add_version(changing_store, seed=7)
        for _ in range(2):  # the second changes nothing
            assert (await client.post(LOAD, headers=admin | sent)).status_code == 200
        damage(changing_store / add_version(changing_store, seed=8) / "calibration.json")
        assert (await client.post(LOAD, headers=admin | sent)).status_code == 409
    who = {"request_id": "rollout-7", "peer": "127.0.0.1", "forwarded_for": "198.51.100.9"}
    told = [line for line in logs if line["event"] in ("refused", "store loaded", "administered")]
    assert [(line["event"], line["key"]) for line in told] == [
        ("refused", "alice"),
        ("store loaded", "ops"),
        ("administered", "ops"),
        ("administered", "ops"),
        ("refused", "ops"),
    ]
    assert all(line.items() >= who.items() for line in told)
    assert [line.get("version") for line in told[1:4]] == [version] * 3


@pytest.mark.slow
async def test_no_request_fails_while_versions_are_loaded(
    client: AsyncClient, changing_store: Path, admin: dict[str, str], user: dict[str, str]
) -> None:
    statuses, stop = [], asyncio.Event()

    async def ask() -> None:
        while not stop.is_set():
            statuses.append((await client.post("/classify", content=IMAGE, headers=user)).status_code)

    asking = [asyncio.create_task(ask()) for _ in range(4)]
    for number in range(3):
        added = add_version(changing_store, built_with={"number": str(number)})
        answer = await client.post(LOAD, headers=admin)
        assert (answer.status_code, answer.json()["version"]) == (200, added)
        said = await client.post("/classify", content=IMAGE, headers=user)
        assert said.json()["store"]["version"] == added
    stop.set()
    await asyncio.gather(*asking)
    assert set(statuses) == {200}


async def test_a_version_that_does_not_load_leaves_the_one_before(
    client: AsyncClient, guard: GuardService, changing_store: Path, admin: dict[str, str]
) -> None:
    before = guard.models.default.version
    broken = add_version(changing_store, built_with={"by": "a test"})
    damage(changing_store / broken / "bank-0.onnx")
    answer = await client.post(LOAD, headers=admin)
    assert answer.status_code == 409
    assert answer.json()["type"] == "urn:mutant-guard:problem:not-loaded"
    assert answer.json()["error"].startswith(f"version {before} of 'digits' goes on")
    assert "damaged" in answer.json()["error"]
    (state,) = (await client.post("/v2/repository/index", headers=admin)).json()
    assert (state["version"], state["state"]) == (before, "READY")


async def test_only_an_admin_loads_and_only_what_there_is(
    client: AsyncClient, admin: dict[str, str], user: dict[str, str]
) -> None:
    for headers, status in (({}, 401), (user, 403)):
        assert (await client.post(LOAD, headers=headers)).status_code == status
    answer = await client.post("/v2/repository/models/other/load", headers=admin)
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:mutant-guard:problem:unknown-store")


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"{",
        b'{"parameters": 1}',
        b'{"parameters": {"config": "{}"}}',
        b'{"parameter": {}}',
        b'{"version": "3f9c"}',
    ],
)
async def test_what_a_load_cannot_do_is_refused(
    client: AsyncClient, admin: dict[str, str], body: bytes
) -> None:
    answer = await client.post(LOAD, content=body, headers=admin)
    assert (answer.status_code, answer.json()["type"]) == (
        400,
        "urn:mutant-guard:problem:bad-inference-request",
    )
    assert (await client.post(LOAD, content=b'{"parameters": {}}', headers=admin)).status_code == 200


async def test_the_index_gives_all_models_or_those_that_are_ready(
    client: AsyncClient, guard: GuardService, user: dict[str, str]
) -> None:
    async def index(body: bytes) -> list[str]:
        answer = await client.post("/v2/repository/index", content=body, headers=user)
        assert answer.status_code == 200
        return [found["state"] for found in answer.json()]

    assert await index(b"") == await index(b'{"ready": true}') == ["READY"]
    guard.draining = True
    assert await index(b"{}") == await index(b'{"ready": false}') == ["UNAVAILABLE"]
    assert await index(b'{"ready": true}') == []
    assert (await client.post("/v2/repository/index", content=b"{}")).status_code == 401
    for wrong in (b'{"ready": 1}', b'{"redy": true}'):
        answer = await client.post("/v2/repository/index", content=wrong, headers=user)
        assert answer.status_code == 400
