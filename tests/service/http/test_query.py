"""Query parameters that a route does not know are refused, whatever the route."""

import pytest
from httpx import AsyncClient

from tests.support.service import digits, encode

pytestmark = pytest.mark.anyio

IMAGE = encode(digits(1)[0])


@pytest.mark.parametrize(
    ("method", "path", "said"),
    [
        ("POST", "/classify?stor=mnist", "query stor: there is no such parameter; did you mean 'store'?"),
        ("POST", "/classify?Store=digits", "query Store: there is no such parameter; did you mean 'store'?"),
        (
            "POST",
            "/classify?explain=true&gaurd=on",
            "query gaurd: there is no such parameter; did you mean 'guard'?",
        ),
        ("POST", "/classify?timeout_ms=5", "this route takes explain, guard, store"),
        ("POST", "/classify?=x", "query : there is no such parameter"),
        ("POST", "/classify?store=digits&store=mnist", "query store: it is there 2 times; give it once"),
        ("POST", "/classify?explain=false&explain=false", "query explain: it is there 2 times; give it once"),
        ("GET", "/review?statte=all", "query statte: there is no such parameter; did you mean 'state'?"),
        ("GET", "/review?limit=1&limit=2", "query limit: it is there 2 times; give it once"),
        (
            "GET",
            "/review/export?sample=true",
            "query sample: there is no such parameter; did you mean 'sampled'?",
        ),
        ("GET", "/review/1-0?x=1", "this route takes none"),
        ("POST", "/review/1-0?x=1", "this route takes none"),
        ("DELETE", "/review/1-0?x=1", "this route takes none"),
        ("GET", "/console/classes?stores=a", "did you mean 'store'?"),
        ("GET", "/?x", "this route takes none"),
        ("GET", "/samples?x=1", "this route takes none"),
        ("GET", "/alarm-rate?store=digits", "this route takes none"),
        ("GET", "/livez?x=1", "this route takes none"),
        ("GET", "/v2/models?x=1", "this route takes none"),
        ("GET", "/v2/models/digits?x=1", "this route takes none"),
        ("POST", "/v2/models/digits/infer?store=digits", "this route takes none"),
        ("POST", "/v2/repository/models/digits/load?versoin=1", "this route takes none"),
    ],
)
async def test_an_unknown_or_repeated_parameter_is_refused_by_its_name(
    method: str, path: str, said: str, client: AsyncClient
) -> None:
    answer = await client.request(method, path, content=IMAGE)
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert said in answer.json()["detail"]
    code = "bad-parameter" if "times" in said else "unknown-parameter"
    assert answer.json()["type"] == f"urn:mutant-guard:problem:{code}"


async def test_every_route_checks_its_parameters(client: AsyncClient) -> None:
    """One that is added later must not be left out."""
    paths = (await client.get("/openapi.json")).json()["paths"]
    assert len(paths) > 15
    for path, methods in paths.items():
        filled = path.format(name="digits", version="1", identifier="1-0")
        for method in methods:
            answer = await client.request(method, f"{filled}?no-such-parameter=1", content=IMAGE)
            assert answer.status_code == 400, (method, path)


async def test_the_parameters_of_a_route_are_taken(client: AsyncClient) -> None:
    for path in (
        "/review?state=all&store=digits&limit=1&before=1-0",
        "/console/classes?store=digits",
        "/?",
        "/livez?&&",
    ):
        assert (await client.get(path)).status_code == 200, path
    assert (
        await client.post("/classify?explain=true&store=digits&guard=on", content=IMAGE)
    ).status_code == 200


async def test_a_very_long_name_is_cut_short(client: AsyncClient) -> None:
    answer = await client.post(f"/classify?{'x' * 5000}=1", content=IMAGE)
    assert answer.status_code == 400
    assert len(answer.content) < 500
