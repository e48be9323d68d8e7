"""Check of the name that a client asks for the server by."""

import ipaddress
from collections.abc import Sequence

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from service.http import problems

_LOOPBACK = ("localhost", "*.localhost", "ip6-localhost", "ip6-loopback")
_KEPT = 256
"""Most Host headers that are remembered as allowed."""


class AllowedHosts:
    """Middleware that answers only requests whose Host header names this server.

    A page elsewhere may have its own name resolve to this server's address and then read its
    answers, since to the browser they come from the page's own origin. Such a request carries the
    page's name. IP addresses are allowed: no page can have one resolve to something else.
    """

    def __init__(self, app: ASGIApp, *, names: Sequence[str]) -> None:
        """Wrap an application.

        Args:
            app: application that answers.
            names: allowed names in small letters, besides those of the loopback; ``*.name`` stands
                for all names below one, ``*`` for any.
        """
        self._app = app
        self._any = "*" in names
        self._exact = {name.rstrip(".") for name in (*names, *_LOOPBACK) if not name.startswith("*")}
        self._endings = tuple(name[1:].rstrip(".") for name in (*names, *_LOOPBACK) if name.startswith("*."))
        self._allowed: set[bytes] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 421 where it names another server."""
        if scope["type"] == "http" and not self._any:
            for name, value in scope["headers"]:
                if name == b"host" and value not in self._allowed and not self._allows(value):
                    await _refusal(value)(scope, receive, send)
                    return
        await self._app(scope, receive, send)

    def _allows(self, value: bytes) -> bool:
        host = _without_port(value.decode("latin-1").strip().lower())
        allowed = host in self._exact or host.endswith(self._endings) or _is_address(host)
        if allowed and len(self._allowed) < _KEPT:
            self._allowed.add(value)
        return allowed


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    has_port = colon and not host.endswith("]") and (port.isdecimal() or not port)
    return (name if has_port else host).rstrip(".")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


def _refusal(value: bytes) -> Response:
    name = value[:64].decode("latin-1")
    return problems.response(
        421,
        "unknown-host",
        f"this server does not answer for the host '{name}'; ask by IP address or localhost, or have its operator name "
        "the host in GUARD_ALLOWED_HOSTS",
    )
