"""Shortcut that takes requests for a verdict straight to their endpoint."""

from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request, Response
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from mutant_guard.errors import RequestError
from service.http.problems import ProblemError, on_failure, on_problem, on_request_error


class IndexedHeaders(Headers):
    """Headers of a request that are found by name without going through all of them."""

    def __init__(self, scope: Scope) -> None:
        """Index the headers of a request.

        Args:
            scope: ASGI scope of the request.
        """
        super().__init__(scope=scope)
        self._first = dict(reversed(self._list))  # of several of one name, the first counts

    def __getitem__(self, key: str) -> str:
        return self._first[key.lower().encode("latin-1")].decode("latin-1")

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and key.lower().encode("latin-1") in self._first

    def getlist(self, key: str) -> list[str]:
        """Return the values of all headers of a name, in their order."""
        return super().getlist(key) if key in self else []


class _Request(Request):
    """Request whose headers are indexed once."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        super().__init__(scope, receive, send)
        self._indexed = IndexedHeaders(scope)

    @property
    def headers(self) -> Headers:
        return self._indexed


class Shortcut:
    """Middleware that takes requests of one method and path straight to their endpoint.

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
        """Answer a request of this method and path, and pass others on.

        Raises:
            Exception: the endpoint failed; the request is answered with 500 before.
        """
        if scope["type"] != "http" or scope["path"] != self._path or scope["method"] != self._method:
            await self._app(scope, receive, send)
            return
        scope["app"] = self._application
        request = _Request(scope, receive, send)
        try:
            response = await self._endpoint(request)
        except RequestError as error:
            response = await on_request_error(request, error)
        except ProblemError as error:
            response = await on_problem(request, error)
        except Exception as error:
            await (await on_failure(request, error))(scope, receive, send)
            raise  # the server logs it
        await response(scope, receive, send)
