"""Headers that forbid browsers to keep or frame an answer, guess its type, or read it elsewhere."""

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.settings import Settings

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    # Keeps pages of other origins from embedding an answer. Pages that CORS lets read an answer are
    # not affected.
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
# FastAPI's documentation pages hold an inline script, which starts one from a content delivery
# network that sets styles on elements itself.
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
# Methods and headers for pages of other origins, where the settings name any.
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
    """Middleware that adds security headers to every answer, except those it has already set."""

    def __init__(self, app: ASGIApp, documentation: frozenset[str] = frozenset()) -> None:
        """Wrap an application.

        Args:
            app: application that answers.
            documentation: paths of pages that load the scripts of FastAPI's documentation.
        """
        self._app, self._documentation = app, documentation
        self._headers = _encoded(SECURITY_HEADERS)
        self._documentation_headers = _encoded(
            SECURITY_HEADERS | {"Content-Security-Policy": _DOCUMENTATION_POLICY}
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and add the headers to its answer."""
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
    """Add security headers to every answer, and CORS for the origins that the settings name.

    CORS goes without credentials: cookies mean nothing here, and a page sends a key itself.
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
