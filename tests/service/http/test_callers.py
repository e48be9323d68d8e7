"""Keys, limits, response detail and headers of the whole application."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from httpx import AsyncClient, Response
from structlog.testing import capture_logs

from mutant_guard.errors import GuardError
from service.guard_service import GuardService
from service.http.detail import KEPT
from service.http.headers import SECURITY_HEADERS
from tests.support.api_keys import add_key
from tests.support.service import FIELDS, digits, encode, samples, serving, settings_for

pytestmark = pytest.mark.anyio

IMAGE = encode(digits(1)[0])
TOLD = [name for name in FIELDS if name in KEPT]


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


@pytest.fixture
def secrets(keys_file: Path) -> dict[str, str]:
    """Return the keys by name."""
    return {
        "full": add_key(keys_file, "full"),
        "verdict": add_key(keys_file, "verdict", response_detail="verdict"),
        "slow": add_key(keys_file, "slow", requests_per_second=0.001, burst=2),
        "ops": add_key(keys_file, "ops", role="admin"),
    }


@pytest.fixture
async def client(
    digits_store: Path, keys_file: Path, secrets: dict[str, str], anyio_backend: str
) -> AsyncIterator[AsyncClient]:
    """Yield a client of a server that asks for keys, keeps verdicts and gives bare labels."""
    settings = settings_for(digits_store, api_keys_file=keys_file, cache_seconds=60, allow_guard_off=True)
    async with serving(GuardService(settings)) as client:
        yield client


async def classify(client: AsyncClient, secret: str | None, query: str = "") -> Response:
    headers = {} if secret is None else {"X-API-Key": secret}
    return await client.post(f"/classify{query}", content=IMAGE, headers=headers)


async def test_who_may_not_classify_is_told_why_and_counted(
    client: AsyncClient, secrets: dict[str, str]
) -> None:
    refused = {"no-key": None, "unknown-key": "mg_unknown", "admin-key": secrets["ops"]}
    for code, secret in refused.items():
        answer = await classify(client, secret)
        assert answer.status_code == (403 if code == "admin-key" else 401)
        assert answer.json()["type"] == f"urn:mutant-guard:problem:{code}"
    found = samples((await client.get("/metrics")).text)
    for code in refused:
        assert found["guard_requests_rejected_total", frozenset({("reason", code)})] == 1


async def test_a_key_decides_how_much_is_told_kept_or_not(
    client: AsyncClient, secrets: dict[str, str]
) -> None:
    for cached in (False, True):
        full, told = [(await classify(client, secrets[name])).json() for name in ("full", "verdict")]
        assert list(full) == FIELDS
        assert list(told) == TOLD
        own = {"request_id"}
        assert {k: v for k, v in told.items() if k not in own} == {k: full[k] for k in told if k not in own}
        assert full["cached"] is cached


async def test_the_path_and_the_bare_labels_score_are_withheld_as_well(
    client: AsyncClient, secrets: dict[str, str]
) -> None:
    explained = (await classify(client, secrets["full"], "?explain=true")).json()
    assert list(explained) == [*FIELDS, "explanation"]
    refused = await classify(client, secrets["verdict"], "?explain=true")
    assert refused.status_code == 403
    assert refused.json()["type"] == "urn:mutant-guard:problem:detail-withheld"
    full, told = [
        (await classify(client, secrets[name], "?guard=off")).json() for name in ("full", "verdict")
    ]
    assert set(full) - set(told) == {"confidence", "elapsed_ms"}
    assert (told["label"], told["guard"]) == (full["label"], "off")


async def test_without_keys_the_setting_decides_how_much_is_told(digits_store: Path) -> None:
    async with serving(GuardService(settings_for(digits_store, response_detail="verdict"))) as client:
        assert list((await classify(client, None)).json()) == TOLD
        assert (await classify(client, None, "?explain=true")).status_code == 403


async def test_a_key_over_its_rate_waits_and_others_do_not(
    client: AsyncClient, secrets: dict[str, str]
) -> None:
    answers = [await classify(client, secrets["slow"]) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[2].json()["type"] == "urn:mutant-guard:problem:rate-limited"
    assert 900 < int(answers[2].headers["retry-after"]) <= 1000
    assert (await classify(client, secrets["full"])).status_code == 200
    found = samples((await client.get("/metrics")).text)
    assert found["guard_requests_rejected_total", frozenset({("reason", "rate-limited")})] == 1


async def test_no_key_is_in_the_log_or_in_an_answer(client: AsyncClient, secrets: dict[str, str]) -> None:
    with capture_logs() as logs:
        answers = [await classify(client, secret) for secret in (*secrets.values(), "mg_unknown")]
    assert len(logs) == len(answers)
    for text in (str(logs), *(answer.text + str(answer.headers) for answer in answers)):
        assert not any(secret in text for secret in (*secrets.values(), "mg_unknown"))


async def test_probes_metrics_and_documentation_take_no_key(client: AsyncClient) -> None:
    for path in ("/livez", "/readyz", "/metrics", "/openapi.json"):
        answer = await client.get(path)
        assert answer.status_code == 200
        for name, value in SECURITY_HEADERS.items():
            assert answer.headers.get_list(name) == [value]


async def test_the_documentation_names_how_a_key_is_sent_and_every_refusal(client: AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    assert {} in document["security"]
    assert set(document["components"]["securitySchemes"]) == {"Bearer", "X-API-Key"}
    assert {"401", "403", "429"} <= set(document["paths"]["/classify"]["post"]["responses"])


async def test_pages_of_the_origins_named_may_read_answers_and_refusals(
    digits_store: Path, keys_file: Path
) -> None:
    secret, origin = add_key(keys_file), "https://app.example.org"
    settings = settings_for(digits_store, api_keys_file=keys_file, cors_origins=origin)
    async with serving(GuardService(settings)) as client:
        for headers, status in (({"X-API-Key": secret}, 200), ({}, 401)):
            answer = await client.post("/classify", content=IMAGE, headers={"Origin": origin, **headers})
            assert answer.status_code == status
            assert answer.headers["access-control-allow-origin"] == origin


def test_a_server_whose_file_of_keys_cannot_be_read_does_not_start(
    digits_store: Path, keys_file: Path
) -> None:
    with pytest.raises(GuardError, match=r"keys.json cannot be read .*mutant-guard keys create NAME"):
        GuardService(settings_for(digits_store, api_keys_file=keys_file))
