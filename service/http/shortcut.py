"""Shortcut that takes requests for a verdict straight to their endpoint."""

from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from mutant_guard.errors import RequestError
from service.http.problems import ProblemError, on_problem, on_request_error


class Shortcut:
    """Middleware that takes requests of one method and path past the router to their endpoint.

    The router and what FastAPI builds around an endpoint take longer than the whole test of a small
    network, for an endpoint that reads its request itself. The route stays where it is, for the
    documentation and for other methods.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        application: FastAPI,
        method: str,
        path: str,
        endpoint: Callable[[Request], Awaitable[Response]],
    ) -> None:
        """Wrap an application.

        Args:
            app: application that answers all other requests.
            application: FastAPI application that the requests belong to.
            method: HTTP method of the requests.
            path: path of the requests.
            endpoint: endpoint that answers them.
        """
        self._app, self._application = app, application
        self._method, self._path, self._endpoint = method, path, endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request of this method and path, and pass others on."""
        if scope["type"] != "http" or scope["path"] != self._path or scope["method"] != self._method:
            await self._app(scope, receive, send)
            return
        scope["app"] = self._application
        request = Request(scope, receive, send)
        try:
            response = await self._endpoint(request)
        except RequestError as error:
            response = await on_request_error(request, error)
        except ProblemError as error:
            response = await on_problem(request, error)
        await response(scope, receive, send)
