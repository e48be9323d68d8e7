"""The console's page and files over HTTP. Tests in a browser are in tests/service/console."""

import re
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import pytest
from httpx import AsyncClient

from service.guard_service import GuardService
from service.http.headers import SECURITY_HEADERS
from service.http.routes.console import POLICY
from tests.support.api_keys import add_key
from tests.support.service import serving, settings_for

pytestmark = pytest.mark.anyio

FILES = sorted(path.name for path in files("service").joinpath("console").iterdir())


class _Page(HTMLParser):
    """Parser that collects what a page loads, and what a policy without 'unsafe-inline' forbids."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.inline: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.inline += [name for name in given if name.startswith("on") or name == "style"]
        if tag == "style" or (tag == "script" and "src" not in given):
            self.inline.append(tag)
        source = given.get("src") or (given.get("href") if tag == "link" else None)
        if source:
            self.loaded.append(source)


async def test_the_page_loads_its_own_files_and_nothing_else(client: AsyncClient) -> None:
    answer = await client.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    page = _Page()
    page.feed(answer.text)
    assert page.inline == []
    assert {source.removeprefix("console/") for source in page.loaded} <= set(FILES)
    assert {"console/main.js", "console/base.css"} <= set(page.loaded)  # relative, for prefixes


async def test_only_its_own_scripts_run_in_it_and_it_may_not_be_framed(client: AsyncClient) -> None:
    for path in ("/", "/console/main.js", "/console/base.css", "/console/icon.svg"):
        answer = await client.get(path)
        assert answer.status_code == 200
        assert answer.headers["content-security-policy"] == POLICY
        for name in (
            "X-Content-Type-Options",
            "X-Frame-Options",
            "Referrer-Policy",
            "Cross-Origin-Resource-Policy",
        ):
            assert answer.headers[name] == SECURITY_HEADERS[name]
    allowed = {part.split()[0]: part.split()[1:] for part in POLICY.split("; ")}
    assert allowed["default-src"] == allowed["base-uri"] == allowed["form-action"] == ["'none'"]
    assert allowed["script-src"] == allowed["style-src"] == allowed["connect-src"] == ["'self'"]
    assert allowed["frame-ancestors"] == ["'none'"]
    assert not re.search(r"unsafe|https?:|\*", POLICY)


@pytest.mark.parametrize("name", [name for name in FILES if name != "index.html"])
async def test_every_file_is_served_as_what_it_is(client: AsyncClient, name: str) -> None:
    answer = await client.get(f"/console/{name}")
    assert answer.status_code == 200
    kinds = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
    assert answer.headers["content-type"].split(";")[0] == kinds[Path(name).suffix]
    assert answer.content == files("service").joinpath("console", name).read_bytes()
    # Imports of the script are served too.
    assert set(re.findall(r'from "\./([^"]+)"', answer.text)) <= set(FILES)


async def test_a_browser_asks_again_and_is_told_where_nothing_changed(client: AsyncClient) -> None:
    first = await client.get("/console/main.js")
    assert first.headers["cache-control"] == "no-cache"
    again = await client.get("/console/main.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    other = await client.get("/console/base.css", headers={"If-None-Match": first.headers["etag"]})
    assert other.status_code == 200
    head = await client.head("/")
    assert (head.status_code, head.content) == (200, b"")


@pytest.mark.parametrize(
    "name",
    ["nothing.js", "index.html", "..%2Fsettings.py", "%2e%2e%2fapp.py", "main.js/"],
)
async def test_no_other_file_can_be_had(client: AsyncClient, name: str) -> None:
    answer = await client.get(f"/console/{name}", follow_redirects=False)
    assert answer.status_code in (307, 404)
    if answer.status_code == 404:
        assert answer.headers["content-type"] == "application/problem+json"


async def test_it_can_be_turned_off(digits_store: Path) -> None:
    async with serving(GuardService(settings_for(digits_store, console=False))) as client:
        for path in ("/", "/console/main.js", "/console/classes", "/samples"):
            answer = await client.get(path)
            assert answer.status_code == 404
            assert answer.headers["content-type"] == "application/problem+json"
        assert (await client.get("/readyz")).status_code == 200


async def test_it_is_told_the_names_of_the_classes(client: AsyncClient, digits_store: Path) -> None:
    told = {"store": digits_store.name, "classes": [str(digit) for digit in range(10)]}
    for query in ("", f"?store={digits_store.name}"):
        assert (await client.get(f"/console/classes{query}")).json() == told
    unknown = await client.get("/console/classes?store=other")
    assert unknown.status_code == 404
    assert unknown.json()["type"] == "urn:mutant-guard:problem:unknown-store"


async def test_the_page_takes_no_key_and_what_it_asks_for_takes_any(
    digits_store: Path, tmp_path: Path
) -> None:
    keys = tmp_path / "keys.json"
    secret = add_key(keys, "alice", response_detail="verdict")
    async with serving(GuardService(settings_for(digits_store, api_keys_file=keys))) as client:
        assert (await client.get("/")).status_code == 200
        assert (await client.get("/console/main.js")).status_code == 200
        assert (await client.get("/console/classes")).status_code == 401
        answer = await client.get("/console/classes", headers={"Authorization": f"Bearer {secret}"})
        assert answer.status_code == 200
