"""Headers that forbid browsers to keep or frame an answer, guess its type, or read it elsewhere."""

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.http.connections.intake import body_is_coming
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
_ADDED = [(name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]
_ADDED_NAMES = frozenset(name for name, _ in _ADDED)

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
    """Middleware that adds security headers to every answer, except those it has already set.

    An answer that comes before the request's body has arrived also ends the connection, since the
    client may send the rest of the body for as long as it likes.
    """

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application.

        Args:
            app: application that answers.
        """
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and add the headers to its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = list(message.get("headers", ()))
                names = {name.lower() for name, _ in given}
                others = names.isdisjoint(_ADDED_NAMES)
                given += _ADDED if others else [header for header in _ADDED if header[0] not in names]
                message["headers"] = given
                if body_is_coming(scope):
                    message["headers"].append((b"connection", b"close"))
            await send(message)

        await self._app(scope, receive, send_with_headers)


def with_headers(app: ASGIApp, settings: Settings) -> ASGIApp:
    """Wrap an application in security headers, and in CORS for the origins that the settings name.

    CORS goes without credentials: cookies mean nothing here, and a page sends a key itself.
    """
    if settings.cors_origins:
        app = CORSMiddleware(
            app,
            allow_origins=settings.cors_origins,
            allow_methods=_METHODS,
            allow_headers=_ASKED_WITH,
            expose_headers=_ANSWERED_WITH,
        )
    return SecurityHeaders(app)
