"""Check of API keys: identifies the sender of a request and what they may do."""

from dataclasses import dataclass
from math import ceil
from typing import Any

from fastapi import Request

from service.http.problems import caller_refused
from service.keys.api_keys import ApiKey, Detail, Role
from service.keys.key_ring import KeyRing
from service.redis.limit import Limits
from service.telemetry.access_log import KEY

_ANONYMOUS = "anonymous"
_HOW = "send a key as 'Authorization: Bearer KEY' or as 'X-API-Key: KEY'"
_CHALLENGE = 'Bearer realm="mutant-guard"'


@dataclass(frozen=True)
class Caller:
    """Sender of a request for a verdict, with the detail of answers to them."""

    detail: Detail
    key: str | None = None
    """Name of the caller's key, None where no key is asked for."""

    @property
    def name(self) -> str:
        """Name of the caller's key, or 'anonymous' where no key is asked for."""
        return self.key or _ANONYMOUS


async def identify(request: Request) -> Caller:
    """Identify the sender of a request for a verdict.

    Uses up one of the requests that the key's rate allows.

    Raises:
        ProblemError: 401 without a key or with an unknown one, 403 with an admin's, 429 over the
            key's rate.
    """
    guard = request.app.state.guard
    keys: KeyRing = guard.keys
    if keys.open:
        detail: Detail = guard.settings.response_detail
        return Caller(detail)
    key = _known(request, keys)
    if key.role == Role.ADMIN:
        # An admin key that leaks from one of the many places that classify would let its finder
        # change what is served.
        raise caller_refused(
            "admin-key", f"the key {key.name} is an admin's, which may not classify; send a client's key"
        )
    await _keep_to_rate(key, guard.state.limits)
    return Caller(key.response_detail, key.name)


async def may_look(request: Request) -> Detail:
    """Identify the sender of a request that asks what is served.

    Uses up one of the requests that the key's rate allows.

    Returns:
        Detail that the sender may see; an admin, who may not classify, may see all.

    Raises:
        ProblemError: 401 without a key or with an unknown one, 429 over the key's rate.
    """
    guard = request.app.state.guard
    keys: KeyRing = guard.keys
    if keys.open:
        detail: Detail = guard.settings.response_detail
        return detail
    key = _known(request, keys)
    await _keep_to_rate(key, guard.state.limits)
    return Detail.FULL if key.role == Role.ADMIN else key.response_detail


async def may_review(request: Request) -> str | None:
    """Check that the sender of a request may see what all callers sent together, and review.

    Without a file of keys, everybody may, provided that every answer is given in full anyway.

    Returns:
        Name of the reviewer's key, None where no keys are asked for.

    Raises:
        ProblemError: 401 without a key or with an unknown one; 403 with a client's, or where there
            are no keys and answers hold the verdict alone; 429 over the key's rate.
    """
    guard = request.app.state.guard
    keys: KeyRing = guard.keys
    if keys.open:
        if guard.settings.response_detail == Detail.VERDICT:
            raise caller_refused(
                "no-reviewer-key",
                "this tells more than the verdict, so it takes a key and the server has none; make one with "
                "mutant-guard keys create NAME --reviewer --file FILE, and start the server with "
                "GUARD_API_KEYS_FILE=FILE",
            )
        return None
    key = _known(request, keys)
    if key.role == Role.CLIENT:
        raise caller_refused(
            "not-reviewer",
            f"the key {key.name} is a client's; this takes a key made with --reviewer or --admin",
        )
    await _keep_to_rate(key, guard.state.limits)
    return key.name


async def require_admin(request: Request) -> str:
    """Check that the sender of a request is an admin.

    Returns:
        Name of the admin's key.

    Raises:
        ProblemError: 403 where no admin key is configured, 401 without a key or with an unknown
            one, 403 with the key of a client or reviewer, 429 over the key's rate.
    """
    guard = request.app.state.guard
    keys: KeyRing = guard.keys
    if not keys.has_admin:
        raise caller_refused(
            "no-admin-key",
            "this takes an admin key and the server has none; make one with mutant-guard keys create NAME --admin "
            "--file FILE, and start the server with GUARD_API_KEYS_FILE=FILE if it was not",
        )
    key = _known(request, keys)
    if key.role != Role.ADMIN:
        raise caller_refused(
            "not-admin", f"the key {key.name} is a {key.role}'s; this takes a key made with --admin"
        )
    await _keep_to_rate(key, guard.state.limits)
    return key.name


def describe_keys(document: dict[str, Any]) -> None:
    """Describe in an OpenAPI document how a key is sent, so that its page has a field for one.

    No key is needed where the server has no file of keys, nor for probes.
    """
    document.setdefault("components", {})["securitySchemes"] = {
        "Bearer": {"type": "http", "scheme": "bearer"},
        "X-API-Key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    document["security"] = [{}, {"Bearer": []}, {"X-API-Key": []}]


def _known(request: Request, keys: KeyRing) -> ApiKey:
    secret = _secret(request)
    if not secret:
        raise caller_refused(
            "no-key", f"this server asks for an API key; {_HOW}", {"WWW-Authenticate": _CHALLENGE}
        )
    key = keys.find(secret)
    if key is None:
        raise caller_refused(
            "unknown-key",
            f"the API key is not known, or was revoked; {_HOW} that this server's operator gave you",
            {"WWW-Authenticate": f'{_CHALLENGE}, error="invalid_token"'},
        )
    request.scope[KEY] = key.name  # for the log
    return key


def _secret(request: Request) -> str:
    """Return the key that a request was sent with, empty without one.

    An Authorization header of another scheme counts as absent.
    """
    scheme, _, token = request.headers.get("authorization", "").strip().partition(" ")
    bearer = token.strip() if scheme.lower() == "bearer" else ""
    return bearer or request.headers.get("x-api-key", "").strip()


async def _keep_to_rate(key: ApiKey, limits: Limits) -> None:
    wait = await limits.take(key)
    if wait > 0:
        seconds = ceil(wait)
        raise caller_refused(
            "rate-limited",
            f"the key {key.name} may send {key.requests_per_second:g} requests a second; try again in {seconds} s",
            {"Retry-After": str(seconds)},
        )
