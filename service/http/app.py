"""FastAPI application of the server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from mutant_guard.errors import RequestError
from service.guard_service import GuardService
from service.http import problems
from service.http.access import describe_keys
from service.http.body import BoundedBodies
from service.http.headers import with_headers
from service.http.hosts import AllowedHosts
from service.http.options import known_parameters
from service.http.refusals import on_problem
from service.http.routes import alarm_rate, health, inference, review, samples
from service.http.routes.classify import EXAMPLES, classify, router
from service.http.routes.console import console_router
from service.http.shortcut import Shortcut
from service.settings import Settings


class Application(FastAPI):
    """FastAPI application behind the checks that every request meets first.

    What FastAPI itself does around a request takes as long as a good part of the test of a small
    network. So the checks are around it, and requests for a verdict go past it.
    """

    entrance: ASGIApp | None = None
    """Application that requests meet first, and which passes on what it does not answer."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        await (self.entrance or self.inside)(scope, receive, send)

    async def inside(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that has passed the checks, with what FastAPI routes it to."""
        await super().__call__(scope, receive, send)


def create_app(guard: GuardService) -> Application:
    """Return an application that serves one guard, and that starts and closes it."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        guard.start()
        yield
        await guard.close()

    app = Application(
        title="mutant-guard",
        version=version("mutant-guard"),
        summary="Image classification with a verdict on whether to trust the label.",
        lifespan=lifespan,
        # Their pages load scripts from elsewhere into the origin where the console keeps a key.
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(known_parameters)],
        responses=problems.documented(400, 421),
    )
    app.state.guard = guard
    for reason in problems.REASONS:
        guard.metrics.requests_rejected.labels(reason)
    app.include_router(router)
    app.include_router(health.router)
    app.include_router(inference.router)
    app.include_router(review.router)
    app.include_router(alarm_rate.router)
    if guard.settings.console:
        app.include_router(console_router())
        app.include_router(samples.router)
    app.add_exception_handler(RequestError, problems.on_request_error)
    app.add_exception_handler(problems.ProblemError, on_problem)
    app.add_exception_handler(HTTPException, problems.on_http_exception)
    app.add_exception_handler(RequestValidationError, problems.on_validation_error)
    app.add_exception_handler(Exception, problems.on_failure)
    shortcut = Shortcut(app.inside, application=app, method="POST", path="/classify", endpoint=classify)
    bounded = BoundedBodies(shortcut, most_bytes=guard.settings.max_bytes_in_flight)
    app.entrance = with_headers(AllowedHosts(bounded, names=_names(guard.settings)), guard.settings)
    _show_examples(app)
    return app


def _names(settings: Settings) -> tuple[str, ...]:
    """Return the names that clients may ask for the server by.

    A page that has its own name resolve to this server has no API key to send.
    """
    return settings.allowed_hosts or (() if settings.api_keys_file is None else ("*",))


def _show_examples(app: FastAPI) -> None:
    """Complete the OpenAPI document, which FastAPI makes once.

    The examples are added here because they hold null, which FastAPI would leave out.
    """
    document = app.openapi()
    describe_keys(document)
    answers = document["paths"]["/classify"]["post"]["responses"]
    answers["200"]["content"]["application/json"]["examples"] = EXAMPLES
