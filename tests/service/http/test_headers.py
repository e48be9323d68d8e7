"""Headers for browsers on every answer, and other origins that may read one."""

import re
from html.parser import HTMLParser
from urllib.parse import urlsplit

import pytest
from starlette.types import Message, Receive, Scope, Send

from service.http.headers import SECURITY_HEADERS, SecurityHeaders
from tests.support.callers import calling

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


class _Sources(HTMLParser):
    """Parser that collects what a page loads, by directive of the policy.

    A script in the page itself counts as 'unsafe-inline'.
    """

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "script":
            self.found.append(("script-src", given.get("src") or "'unsafe-inline'"))
        elif tag == "style":
            self.found.append(("style-src", "'unsafe-inline'"))
        elif tag == "link":
            kind = "style-src" if given["rel"] == "stylesheet" else "img-src"
            self.found.append((kind, given["href"] or ""))


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
async def test_the_documentation_may_load_what_it_is_made_of_and_nothing_else(path: str) -> None:
    async with calling() as client:
        answer = await client.get(path)
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    allowed = {part.split()[0]: part.split()[1:] for part in policy.split("; ")}
    page = _Sources()
    page.feed(answer.text)
    assert {kind for kind, _ in page.found} == {"script-src", "style-src", "img-src"}
    for kind, source in page.found:
        parts = urlsplit(source)
        assert (f"{parts.scheme}://{parts.netloc}" if parts.netloc else source) in allowed[kind]
    assert allowed["default-src"] == allowed["frame-ancestors"] == ["'none'"]
    assert allowed["connect-src"] == ["'self'"]
    assert not re.search(r"\*|https:(?!//)|unsafe-eval", policy)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"


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
