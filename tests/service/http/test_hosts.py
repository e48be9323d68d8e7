"""Names that clients may ask for the server by."""

from pathlib import Path

import pytest
from httpx import AsyncClient
from pydantic import ValidationError

from service.guard_service import GuardService
from service.settings import Settings
from tests.support.service import serving, settings_for

pytestmark = pytest.mark.anyio

ALWAYS = [
    "localhost",
    "LocalHost:8000",
    "a.localhost",
    "127.0.0.1:8000",
    "10.1.2.3",
    "[::1]:8000",
    "[::1]",
    "localhost.",
]
NEVER = [
    "evil.example",
    "localhost.evil.example",
    "127.0.0.1.evil.example:8000",
    "notlocalhost",
    "",
    "[::1].evil",
]


async def statuses(client: AsyncClient, hosts: list[str], path: str = "/review") -> set[int]:
    return {(await client.get(path, headers={"Host": host})).status_code for host in hosts for _ in "12"}


async def test_without_keys_a_page_elsewhere_cannot_ask_by_its_own_name(digits_store: Path) -> None:
    async with serving(GuardService(settings_for(digits_store))) as client:
        for path in ("/review", "/alarm-rate", "/livez", "/metrics", "/"):
            assert await statuses(client, ALWAYS, path) == {200}
            assert await statuses(client, NEVER, path) == {421}
        refused = await client.get("/review", headers={"Host": "evil.example"})
        assert refused.json()["type"] == "urn:mutant-guard:problem:unknown-host"
        assert "GUARD_ALLOWED_HOSTS" in refused.json()["detail"]
        assert refused.headers["x-content-type-options"] == "nosniff"


async def test_names_that_the_operator_gave_are_answered(digits_store: Path) -> None:
    settings = settings_for(digits_store, allowed_hosts=("guard.example.org", "*.example.net"))
    async with serving(GuardService(settings)) as client:
        assert await statuses(
            client, [*ALWAYS, "guard.example.org:80", "Guard.Example.org.", "a.b.example.net"]
        ) == {200}
        assert await statuses(client, [*NEVER, "example.net", "a.guard.example.org", "xexample.net"]) == {421}


async def test_a_star_stands_for_any_name(digits_store: Path) -> None:
    async with serving(GuardService(settings_for(digits_store, allowed_hosts=("*",)))) as client:
        assert await statuses(client, [*ALWAYS, *NEVER]) == {200}


async def test_where_keys_are_asked_for_any_name_will_do_unless_names_are_given(
    digits_store: Path, tmp_path: Path
) -> None:
    keys = tmp_path / "keys.json"
    keys.write_text('{"keys": []}')
    async with serving(GuardService(settings_for(digits_store, api_keys_file=keys))) as client:
        assert 421 not in await statuses(client, [*ALWAYS, *NEVER])
    given = settings_for(digits_store, api_keys_file=keys, allowed_hosts=("guard.example.org",))
    async with serving(GuardService(given)) as client:
        assert await statuses(client, NEVER) == {421}


@pytest.mark.parametrize("given", ["a.example, *.b.example", '["a.example", "*.b.example"]'])
def test_names_are_listed_with_commas_or_as_json(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUARD_ALLOWED_HOSTS", given)
    assert Settings().allowed_hosts == ("a.example", "*.b.example")


@pytest.mark.parametrize("given", ["https://a.example", "a.example:80", "a.*.example", "**", "a..example"])
def test_what_is_no_name_is_refused(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUARD_ALLOWED_HOSTS", given)
    with pytest.raises(ValidationError, match="is no name of a server"):
        Settings()
