"""Who may call each route: every route is in the table, for callers with every kind of key."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import iter_route_contexts
from httpx import AsyncClient, Response

from mutant_guard.store.reader import Store
from service.guard_service import GuardService
from service.http.app import create_app
from service.settings import Settings
from tests.support.api_keys import add_key
from tests.support.service import digits, encode, serving, settings_for

pytestmark = pytest.mark.anyio

CALLERS = ("nobody", "unknown", "client", "verdict", "reviewer", "admin")
"""Without a key, with one that is not known, with a client's (full and verdict), and so on."""
KEYLESS = {"nobody": 401, "unknown": 401}
CLIENTS = {"client": 403, "verdict": 403}
REFUSED = {
    "anybody": {},
    "callers": KEYLESS | {"admin": 403},
    "lookers": KEYLESS,
    "reviewers": KEYLESS | CLIENTS,
    "admins": KEYLESS | CLIENTS | {"reviewer": 403},
}
"""Statuses of refusals by who may call a route; all others are let in."""


@dataclass(frozen=True)
class Call:
    """Request of a route that does no harm, who may make it, and the status for them."""

    who: str
    status: int = 200
    url: str = ""
    content: dict[str, Any] = field(default_factory=dict)


IMAGE = {"content": encode(digits(1)[0]), "headers": {"Content-Type": "image/png"}}
ROUTES = {
    ("GET", "/"): Call("anybody"),
    ("GET", "/livez"): Call("anybody"),
    ("GET", "/readyz"): Call("anybody"),
    ("GET", "/metrics"): Call("anybody"),
    ("GET", "/console/{name}"): Call("anybody", url="/console/main.js"),
    ("GET", "/v2/health/live"): Call("anybody"),
    ("GET", "/v2/health/ready"): Call("anybody"),
    ("GET", "/v2/models/{name}/ready"): Call("anybody", url="/v2/models/digits/ready"),
    ("GET", "/v2/models/{name}/versions/{version}/ready"): Call(
        "anybody", 404, "/v2/models/digits/versions/1/ready"
    ),
    ("POST", "/classify"): Call("callers", content=IMAGE),
    ("POST", "/v2/models/{name}/infer"): Call("callers", 400, "/v2/models/digits/infer", {"json": {}}),
    ("POST", "/v2/models/{name}/versions/{version}/infer"): Call(
        "callers", 404, "/v2/models/digits/versions/1/infer", {"json": {}}
    ),
    ("GET", "/v2"): Call("lookers"),
    ("GET", "/v2/models"): Call("lookers"),
    ("GET", "/v2/models/{name}"): Call("lookers", url="/v2/models/digits"),
    ("GET", "/v2/models/{name}/versions/{version}"): Call("lookers", 404, "/v2/models/digits/versions/1"),
    ("POST", "/v2/repository/index"): Call("lookers"),
    ("GET", "/console/classes"): Call("lookers"),
    ("GET", "/samples"): Call("lookers"),
    ("GET", "/samples/{name}"): Call("lookers", 404, "/samples/none.png"),
    ("GET", "/alarm-rate"): Call("reviewers"),
    ("GET", "/review"): Call("reviewers"),
    ("GET", "/review/export"): Call("reviewers", 404),
    ("GET", "/review/{identifier}"): Call("reviewers", 404, "/review/1-1"),
    ("GET", "/review/{identifier}/image"): Call("reviewers", 404, "/review/1-1/image"),
    ("POST", "/review/{identifier}"): Call(
        "reviewers", 404, "/review/1-1", {"json": {"decision": "dismiss"}}
    ),
    ("DELETE", "/review/{identifier}"): Call("reviewers", 404, "/review/1-1"),
    ("POST", "/v2/repository/models/{name}/load"): Call("admins", url="/v2/repository/models/digits/load"),
}
every_route = pytest.mark.parametrize(
    ("method", "path", "call"),
    [(method, path, call) for (method, path), call in ROUTES.items()],
    ids=[" ".join(name) for name in ROUTES],
)


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Make a key of every kind, in the file that the last entry names."""
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    return {
        "unknown": "mg_unknown",
        "client": add_key(path, "client"),
        "verdict": add_key(path, "verdict", response_detail="verdict"),
        "reviewer": add_key(path, "reviewer", role="reviewer"),
        "admin": add_key(path, "admin", role="admin"),
        "hurried": add_key(path, "hurried", role="admin", requests_per_second=0.001, burst=1),
        "hurried client": add_key(path, "hurried-client", requests_per_second=0.001, burst=1),
        "file": str(path),
    }


@pytest.fixture
def settings(digits_store: Path, secrets: dict[str, str]) -> Settings:
    return settings_for(digits_store, api_keys_file=secrets["file"])


@pytest.fixture
async def client(settings: Settings, anyio_backend: str) -> AsyncIterator[AsyncClient]:
    async with serving(GuardService(settings)) as client:
        yield client


async def send(
    client: AsyncClient, method: str, path: str, call: Call, secret: str | None, how: str = "X-API-Key"
) -> Response:
    content = dict(call.content)
    headers = content.pop("headers", {}) | ({} if secret is None else {how: secret})
    return await client.request(method, call.url or path, headers=headers, **content)


def test_every_route_is_in_the_table(settings: Settings) -> None:
    app = create_app(GuardService(settings))
    documentation = {app.docs_url, app.redoc_url, app.openapi_url, app.swagger_ui_oauth2_redirect_url}
    served = {
        (method, route.path)
        for route in iter_route_contexts(app.routes)
        for method in route.methods or ()
        if route.path not in documentation
    }
    # HEAD is what GET is, without the body.
    assert {("GET" if method == "HEAD" else method, path) for method, path in served} == ROUTES.keys()


@every_route
async def test_a_route_lets_in_whom_it_is_for(
    client: AsyncClient, secrets: dict[str, str], method: str, path: str, call: Call
) -> None:
    expected = dict.fromkeys(CALLERS, call.status) | REFUSED[call.who]
    found = {
        caller: (await send(client, method, path, call, secrets.get(caller))).status_code
        for caller in CALLERS
    }
    assert found == expected


@every_route
async def test_a_rate_holds_on_every_route_that_takes_a_key(
    client: AsyncClient, secrets: dict[str, str], method: str, path: str, call: Call
) -> None:
    """An admin's as well, on the routes that only look."""
    hurried = "hurried client" if call.who == "callers" else "hurried"
    first, second = [(await send(client, method, path, call, secrets[hurried])).status_code for _ in range(2)]
    assert first == call.status
    assert second == (call.status if call.who == "anybody" else 429)


@every_route
async def test_what_needs_no_key_names_nothing_that_is_served(
    client: AsyncClient, store: Store, method: str, path: str, call: Call
) -> None:
    if path == "/metrics" or call.who != "anybody":  # metrics are for machines inside
        return
    for url in {call.url or path, path.format(name="other", version="1")}:
        text = (await client.request(method, url)).text
        assert store.version not in text
        if url.startswith("/v2") and "digits" not in url:
            assert "digits" not in text


async def test_probes_of_a_failed_server_name_nothing_that_is_served(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = GuardService(settings)
    async with serving(guard) as client:
        scheduler = type(guard.models.default.scheduler)
        monkeypatch.setattr(scheduler, "failed", True)
        monkeypatch.setattr(scheduler, "ready", False)
        for path in ("/livez", "/readyz", "/v2/health/live", "/v2/health/ready"):
            answer = await client.get(path)
            assert answer.status_code == 503
            assert "digits" not in answer.text


@pytest.mark.parametrize("detail", ["full", "verdict"])
async def test_without_keys_all_may_see_the_alarm_rate_where_answers_are_full(
    digits_store: Path, detail: str
) -> None:
    async with serving(GuardService(settings_for(digits_store, response_detail=detail))) as client:
        answer = await client.get("/alarm-rate")
    assert answer.status_code == (200 if detail == "full" else 403)


async def test_a_caller_of_detail_verdict_cannot_tell_what_another_asked(
    settings: Settings, secrets: dict[str, str]
) -> None:
    """Only the scores, the path, the time and the cache may differ between the two, and are withheld."""
    call = ROUTES["POST", "/classify"]
    async with serving(GuardService(settings.model_copy(update={"cache_seconds": 60.0}))) as client:
        first, second = [
            (await send(client, "POST", "/classify", call, secrets["verdict"])).json() for _ in range(2)
        ]
        full = (await send(client, "POST", "/classify", call, secrets["client"])).json()
    assert full["cached"] is True
    assert {"cached", "elapsed_ms"} <= full.keys()
    assert first.pop("request_id") != second.pop("request_id")
    assert first == second
