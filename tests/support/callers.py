"""Small application that looks up its callers, for tests of keys, headers and problems."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated

from fastapi import Depends, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from httpx import ASGITransport, AsyncClient
from starlette.exceptions import HTTPException
from starlette.responses import StreamingResponse

from mutant_guard.errors import QueueFullError, RequestError
from service.http import problems
from service.http.access import Caller, identify, may_review, require_admin
from service.http.app import Application
from service.http.detail import may_explain
from service.http.headers import with_headers
from service.keys.key_ring import KeyRing
from service.redis.limit import OwnLimits
from service.settings import Settings


def create_app(keys_file: Path | None = None, **settings: object) -> FastAPI:
    """Return an application that answers with the caller's name and detail, or fails if asked to.

    It has the same routes under ``/v2``.
    """
    configured = Settings.model_validate({"api_keys_file": keys_file} | settings)
    app = Application()
    state = SimpleNamespace(limits=OwnLimits())
    app.state.guard = SimpleNamespace(keys=KeyRing(keys_file), state=state, settings=configured)
    for kind, handler in (
        (RequestError, problems.on_request_error),
        (problems.ProblemError, problems.on_problem),
        (HTTPException, problems.on_http_exception),
        (RequestValidationError, problems.on_validation_error),
        (Exception, problems.on_failure),
    ):
        app.add_exception_handler(kind, handler)
    app.entrance = with_headers(app.inside, configured)

    @app.get("/who")
    @app.post("/who")
    @app.get("/v2/who")
    async def who(
        caller: Annotated[Caller, Depends(identify)], explain: Annotated[bool, Query()] = False
    ) -> dict[str, str]:
        if explain:
            may_explain(caller)
        return {"name": caller.name, "detail": caller.detail}

    @app.post("/v2/admin")
    async def admin(request: Request) -> str:
        return await require_admin(request)

    @app.post("/review")
    async def review(request: Request) -> str | None:
        return await may_review(request)

    @app.get("/full")
    @app.get("/v2/full")
    async def full() -> None:
        raise QueueFullError("256 requests are in flight already")

    @app.get("/fault")
    @app.get("/v2/fault")
    async def fault() -> None:
        raise ZeroDivisionError("secret")

    @app.get("/kept")
    async def kept() -> StreamingResponse:
        return StreamingResponse(iter([b"a", b"b"]), headers={"Cache-Control": "max-age=60"})

    return app


@asynccontextmanager
async def calling(keys_file: Path | None = None, **settings: object) -> AsyncIterator[AsyncClient]:
    """Yield a client of this application."""
    transport = ASGITransport(create_app(keys_file, **settings), raise_app_exceptions=False)
    async with AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client
