"""What browsers are told of every answer: to keep it, frame it, guess its type or read it elsewhere, they may not."""

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.settings import Settings

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    # Of use to pages that embed an answer; a page that CORS lets read one is not kept from it by this.
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
# FastAPI's pages are a script in the page that starts one of a content delivery network, which styles elements itself.
_DOCUMENTATION_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'unsafe-inline' https://cdn.jsdelivr.net",
        "style-src 'unsafe-inline' https://cdn.jsdelivr.net https://fonts.googleapis.com",
        "font-src https://fonts.gstatic.com",
        "img-src 'self' data: https://fastapi.tiangolo.com https://cdn.redoc.ly",
        "connect-src 'self'",
        "worker-src blob:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
# Of other origins' pages, where any may read answers at all.
_METHODS = ("GET", "POST")
_ASKED_WITH = (
    "Authorization",
    "X-API-Key",
    "X-Request-Id",
    "X-Request-Timeout-Ms",
    "traceparent",
    "tracestate",
    "Inference-Header-Content-Length",
)
_ANSWERED_WITH = ("Retry-After", "WWW-Authenticate", "X-Request-Id", "Inference-Header-Content-Length")


class SecurityHeaders:
    """Adds to every answer those of the headers that it has not set itself."""

    def __init__(self, app: ASGIApp, documentation: frozenset[str] = frozenset()) -> None:
        """Args: what answers, and the paths of pages that load the scripts of FastAPI's documentation."""
        self._app, self._documentation = app, documentation
        self._headers = _encoded(SECURITY_HEADERS)
        self._documentation_headers = _encoded(
            SECURITY_HEADERS | {"Content-Security-Policy": _DOCUMENTATION_POLICY}
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and its answer with the headers back."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        added = self._documentation_headers if scope["path"] in self._documentation else self._headers

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = list(message.get("headers", ()))
                names = {name.lower() for name, _ in given}
                message["headers"] = given + [header for header in added if header[0] not in names]
            await send(message)

        await self._app(scope, receive, send_with_headers)


def add_middlewares(app: FastAPI, settings: Settings) -> None:
    """Security headers on every answer; and where the settings name origins, CORS for exactly these.

    Without credentials: cookies mean nothing here, and a key is sent by the page itself.
    """
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=_METHODS,
            allow_headers=_ASKED_WITH,
            expose_headers=_ANSWERED_WITH,
        )
    pages = frozenset(path for path in (app.docs_url, app.redoc_url) if path)
    app.add_middleware(SecurityHeaders, documentation=pages)  # the last added is the outermost


def _encoded(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
