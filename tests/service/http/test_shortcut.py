"""Requests for a verdict, which bypass the router, and all others, which do not."""

import pytest
from fastapi import FastAPI, Request, Response
from httpx import ASGITransport, AsyncClient

from mutant_guard.errors import QueueFullError
from service.http.problems import ProblemError
from service.http.shortcut import Shortcut

pytestmark = pytest.mark.anyio


async def direct(request: Request) -> Response:
    """Answer with the application that the route belongs to, or fail as the body says."""
    body = await request.body()
    if body == b"full":
        raise QueueFullError("full")
    if body == b"type":
        raise ProblemError(415, "unsupported-type", "no")
    if body == b"fault":
        raise ZeroDivisionError("secret")
    return Response(f"{request.app.title}: {request.query_params.get('a')}: {body.decode()}")


@pytest.fixture
def client() -> AsyncClient:
    app = FastAPI(title="ours")
    for method in ("get", "put"):
        getattr(app, method)("/there")(lambda: "by the router")
    app.get("/there/more")(lambda: "by the router")
    app.add_middleware(Shortcut, application=app, method="POST", path="/there", endpoint=direct)
    return AsyncClient(transport=ASGITransport(app, raise_app_exceptions=False), base_url="http://localhost")


async def test_the_method_and_path_go_straight_to_the_endpoint(client: AsyncClient) -> None:
    answer = await client.post("/there?a=7", content=b"body")
    assert (answer.status_code, answer.text) == (200, "ours: 7: body")


@pytest.mark.parametrize(("method", "path"), [("GET", "/there"), ("PUT", "/there"), ("GET", "/there/more")])
async def test_other_methods_and_paths_go_to_the_router(method: str, path: str, client: AsyncClient) -> None:
    answer = await client.request(method, path)
    assert (answer.status_code, answer.json()) == (200, "by the router")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("DELETE", "/there", 405), ("HEAD", "/there", 405), ("POST", "/there/", 307), ("POST", "/there2", 404)],
)
async def test_what_the_router_refuses_stays_refused(
    method: str, path: str, status: int, client: AsyncClient
) -> None:
    answer = await client.request(method, path, content=b"body", follow_redirects=False)
    assert answer.status_code == status
    assert "ours" not in answer.text


@pytest.mark.parametrize(
    ("body", "status", "code"), [(b"full", 429, "queue-full"), (b"type", 415, "unsupported-type")]
)
async def test_refusals_are_problems(body: bytes, status: int, code: str, client: AsyncClient) -> None:
    answer = await client.post("/there", content=body)
    assert (answer.status_code, answer.json()["type"]) == (status, f"urn:mutant-guard:problem:{code}")
    assert answer.headers["content-type"] == "application/problem+json"
    assert ("retry-after" in answer.headers) is (status == 429)


async def test_a_fault_of_ours_is_for_who_stands_around_it(client: AsyncClient) -> None:
    answer = await client.post("/there", content=b"fault")
    assert answer.status_code == 500
    assert "secret" not in answer.text
