"""Headers for browsers on every answer, and other origins that may read one."""

from pathlib import Path

import pytest
from starlette.types import Message, Receive, Scope, Send

from service.guard_service import GuardService
from service.http.headers import SECURITY_HEADERS, SecurityHeaders
from tests.support.callers import calling
from tests.support.service import serving, settings_for

pytestmark = pytest.mark.anyio

ORIGIN, OTHER = "https://app.example.org", "https://evil.example.org"
PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "x-api-key,content-type",
}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/who", 200),
        ("/nothing", 404),
        ("/full", 429),
        ("/who?explain=7", 422),
        ("/v2/admin", 405),
        ("/fault", 500),
        ("/openapi.json", 200),
    ],
)
async def test_every_answer_has_the_headers_once(path: str, status: int) -> None:
    async with calling() as client:
        answer = await client.get(path)
    assert answer.status_code == status
    for name, value in SECURITY_HEADERS.items():
        assert answer.headers.get_list(name) == [value], name
    assert SECURITY_HEADERS["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert SECURITY_HEADERS["Cache-Control"] == "no-store"


async def test_what_an_answer_sets_itself_stays() -> None:
    async with calling() as client:
        answer = await client.get("/kept")
    assert answer.headers.get_list("cache-control") == ["max-age=60"]
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.content == b"ab"


async def test_what_is_no_request_passes_untouched() -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])
        await send({"type": "lifespan.startup.complete"})

    async def receive() -> Message:
        return {"type": "lifespan.startup"}

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await SecurityHeaders(app)({"type": "lifespan"}, receive, send)
    assert (seen, sent) == (["lifespan"], [{"type": "lifespan.startup.complete"}])


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/docs/oauth2-redirect"])
async def test_no_page_loads_scripts_from_elsewhere_beside_the_console(path: str, digits_store: Path) -> None:
    async with serving(GuardService(settings_for(digits_store))) as client:
        answer = await client.get(path)
    assert answer.status_code == 404
    assert answer.headers["content-security-policy"] == SECURITY_HEADERS["Content-Security-Policy"]


async def test_no_other_origin_may_read_an_answer_by_default() -> None:
    async with calling() as client:
        answer = await client.get("/who", headers={"Origin": ORIGIN})
        preflight = await client.options("/who", headers={"Origin": ORIGIN, **PREFLIGHT})
    assert answer.status_code == 200
    assert preflight.status_code == 405
    assert not [name for name in (*answer.headers, *preflight.headers) if name.startswith("access-control")]


@pytest.mark.parametrize(("path", "status"), [("/who", 200), ("/full", 429), ("/nothing", 404)])
async def test_the_origins_named_may_and_others_may_not(path: str, status: int) -> None:
    async with calling(cors_origins=[ORIGIN, "http://localhost:3000"]) as client:
        for origin, may in (
            (ORIGIN, True),
            ("http://localhost:3000", True),
            (OTHER, False),
            (f"{ORIGIN}.evil.example.org", False),
            ("null", False),
        ):
            answer = await client.get(path, headers={"Origin": origin})
            assert answer.status_code == status
            assert answer.headers.get("access-control-allow-origin") == (origin if may else None)
            assert "access-control-allow-credentials" not in answer.headers
            assert "retry-after" in answer.headers["access-control-expose-headers"].lower()
            assert answer.headers["x-frame-options"] == "DENY"


async def test_a_preflight_is_answered_for_these_origins_and_the_headers_that_callers_send() -> None:
    async with calling(cors_origins=[ORIGIN]) as client:
        allowed = await client.options("/who", headers={"Origin": ORIGIN, **PREFLIGHT})
        refused = await client.options("/who", headers={"Origin": OTHER, **PREFLIGHT})
        foreign = PREFLIGHT | {"Access-Control-Request-Headers": "x-other"}
        odd = await client.options("/who", headers={"Origin": ORIGIN, **foreign})
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == ORIGIN
    assert allowed.headers["access-control-allow-methods"] == "GET, POST"
    named = {name.strip().lower() for name in allowed.headers["access-control-allow-headers"].split(",")}
    assert {
        "authorization",
        "x-api-key",
        "content-type",
        "x-request-id",
        "x-request-timeout-ms",
        "traceparent",
    } <= named
    assert "access-control-allow-credentials" not in allowed.headers
    assert allowed.headers["x-content-type-options"] == "nosniff"
    assert refused.status_code == odd.status_code == 400
    assert "access-control-allow-origin" not in refused.headers
