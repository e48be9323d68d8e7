"""Access: callers who may classify or use the admin routes, their rates, and refusals."""

from pathlib import Path

import pytest
from httpx import Response
from structlog.testing import capture_logs

from service.http.access import describe_keys
from service.http.problems import REASONS
from service.keys import key_file
from tests.support.api_keys import add_key
from tests.support.callers import calling, create_app
from tests.support.service import Clock

pytestmark = pytest.mark.anyio


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("service.keys.key_ring.time", clock)
    monkeypatch.setattr("service.keys.rate_limit.time", clock)
    return clock


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def check(answer: Response, status: int, code: str, detail: str) -> None:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    found = answer.json()
    assert (found["status"], found["type"]) == (status, f"urn:mutant-guard:problem:{code}")
    assert detail in found["detail"]
    assert ("www-authenticate" in answer.headers) is (status == 401)
    assert code in REASONS  # counted from zero, as it is a known reason


@pytest.mark.parametrize("detail", ["full", "verdict"])
async def test_without_a_file_of_keys_everybody_is_let_in_with_the_servers_detail(detail: str) -> None:
    async with calling(response_detail=detail) as client:
        for headers in ({}, bearer("anything")):
            answer = await client.get("/who", headers=headers)
            assert answer.json() == {"name": "anonymous", "detail": detail}


@pytest.mark.parametrize("detail", ["full", "verdict"])
async def test_a_client_is_known_by_the_key_in_either_header(detail: str, keys_file: Path) -> None:
    add_key(keys_file, "bob")
    secret = add_key(keys_file, "alice", response_detail=detail)
    ways = [
        bearer(secret),
        {"Authorization": f"bearer  {secret} "},
        {"X-API-Key": secret},
        {"Authorization": "Basic YWxpY2U6", "X-API-Key": secret},  # credentials for a proxy in front
    ]
    async with calling(keys_file, response_detail="full") as client:
        for headers in ways:
            answer = await client.get("/who", headers=headers)
            assert answer.json() == {"name": "alice", "detail": detail}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"X-API-Key": " "},
    ],
)
async def test_without_a_key_nobody_is_let_in(headers: dict[str, str], keys_file: Path) -> None:
    add_key(keys_file)
    async with calling(keys_file) as client:
        answer = await client.get("/who", headers=headers)
        check(answer, 401, "no-key", "send a key as 'Authorization: Bearer KEY'")
        assert answer.headers["www-authenticate"] == 'Bearer realm="mutant-guard"'


async def test_an_unknown_key_is_no_key(keys_file: Path) -> None:
    secret = add_key(keys_file)
    async with calling(keys_file) as client:
        for headers in (bearer(secret[:-1]), {"X-API-Key": "unknown"}, bearer("x" * 10_000)):
            answer = await client.get("/who", headers=headers)
            check(answer, 401, "unknown-key", "not known, or was revoked")
            assert answer.headers["www-authenticate"].endswith('error="invalid_token"')
        odd = await client.get("/who", headers=[(b"x-api-key", b"\xe9\xff\x80")])
        check(odd, 401, "unknown-key", "not known")
        assert secret[:-1] not in (await client.get("/who", headers=bearer(secret[:-1]))).text
        # The bearer token always counts where two keys are sent.
        both = bearer("unknown") | {"X-API-Key": secret}
        check(await client.get("/who", headers=both), 401, "unknown-key", "not known")


async def test_a_revoked_key_is_refused_and_a_new_one_taken_without_a_restart(
    keys_file: Path, clock: Clock
) -> None:
    alice = add_key(keys_file, "alice")
    async with calling(keys_file) as client:
        assert (await client.get("/who", headers=bearer(alice))).status_code == 200
        key_file.remove(keys_file, "alice")
        bob = add_key(keys_file, "bob")
        clock.now += 1
        with capture_logs():
            check(await client.get("/who", headers=bearer(alice)), 401, "unknown-key", "revoked")
        assert (await client.get("/who", headers=bearer(bob))).json()["name"] == "bob"


async def test_an_admin_may_not_classify_and_a_client_not_administer(keys_file: Path) -> None:
    client_key = add_key(keys_file, "alice")
    admin_key = add_key(keys_file, "ops", role="admin")
    reviewer = add_key(keys_file, "rita", role="reviewer")
    async with calling(keys_file) as client:
        check(
            await client.get("/who", headers=bearer(admin_key)), 403, "admin-key", "the key ops is an admin's"
        )
        check(
            await client.post("/v2/admin", headers=bearer(client_key)),
            403,
            "not-admin",
            "alice is a client's",
        )
        check(
            await client.post("/v2/admin", headers=bearer(reviewer)), 403, "not-admin", "rita is a reviewer's"
        )
        check(await client.post("/v2/admin"), 401, "no-key", "asks for an API key")
        check(await client.post("/v2/admin", headers=bearer("mg_")), 401, "unknown-key", "not known")
        for headers in (bearer(admin_key), {"X-API-Key": admin_key}):
            answer = await client.post("/v2/admin", headers=headers)
            assert (answer.status_code, answer.json()) == (200, "ops")


@pytest.mark.parametrize("with_file", [False, True])
async def test_where_there_is_no_admin_key_the_routes_are_closed_and_say_how_to_make_one(
    with_file: bool, keys_file: Path
) -> None:
    secret = add_key(keys_file)
    async with calling(keys_file if with_file else None) as client:
        for headers in ({}, bearer(secret)):
            answer = await client.post("/v2/admin", headers=headers)
            check(answer, 403, "no-admin-key", "mutant-guard keys create NAME --admin --file FILE")


async def test_over_its_rate_a_key_is_told_when_to_try_again_and_others_are_let_in(
    keys_file: Path, clock: Clock
) -> None:
    slow = add_key(keys_file, "slow", requests_per_second=0.4, burst=2)
    free = add_key(keys_file, "free")
    async with calling(keys_file) as client:
        for _ in range(2):
            assert (await client.get("/who", headers=bearer(slow))).status_code == 200
        answer = await client.get("/who", headers=bearer(slow))
        check(answer, 429, "rate-limited", "the key slow may send 0.4 requests a second; try again in 3 s")
        assert answer.headers["retry-after"] == "3"  # 2.5, rounded up
        assert (await client.get("/who", headers=bearer(free))).status_code == 200
        clock.now += 2.4
        answer = await client.get("/who", headers=bearer(slow))
        assert answer.headers["retry-after"] == "1"
        clock.now += 0.1
        assert (await client.get("/who", headers=bearer(slow))).status_code == 200


async def test_an_admins_rate_holds_as_well_and_refusals_use_nothing_up(
    keys_file: Path, clock: Clock
) -> None:
    secret = add_key(keys_file, "ops", role="admin", requests_per_second=1)
    async with calling(keys_file) as client:
        for _ in range(3):
            assert (await client.get("/who", headers=bearer(secret))).status_code == 403
        assert (await client.post("/v2/admin", headers=bearer(secret))).status_code == 200
        check(
            await client.post("/v2/admin", headers=bearer(secret)), 429, "rate-limited", "1 requests a second"
        )


async def test_the_documentation_says_how_a_key_is_sent() -> None:
    document = create_app().openapi()
    describe_keys(document)
    assert document["components"]["securitySchemes"].keys() == {"Bearer", "X-API-Key"}
    assert document["security"] == [{}, {"Bearer": []}, {"X-API-Key": []}]
