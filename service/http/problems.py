"""Errors as problem+json (RFC 9457)."""

from collections.abc import Mapping
from functools import lru_cache
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from mutant_guard.errors import RequestError
from service.probing.errors import ProbingError

MEDIA_TYPE = "application/problem+json"

REQUEST_ID = "guard.request_id"
"""Key of the request id in a request's scope, once it has one."""

_STATUS = {
    "bad-image": 422,
    "not-finite": 422,
    "queue-full": 429,
    "probing": 429,
    "run-failed": 503,
    "not-ready": 503,
    "deadline": 504,
    "unknown-store": 404,
    "guard-required": 403,
}
# Codes for refusing a caller, whatever the request holds, with their HTTP status.
CALLER_REASONS = {
    "no-key": 401,
    "unknown-key": 401,
    "admin-key": 403,
    "no-admin-key": 403,
    "not-admin": 403,
    "no-reviewer-key": 403,
    "not-reviewer": 403,
    "detail-withheld": 403,
    "rate-limited": 429,
}
# Codes for refusing a request. They are counted from zero, so that the first refusal shows in a
# rate.
REASONS = (
    *_STATUS,
    *CALLER_REASONS,
    "body-too-large",
    "unsupported-type",
    "bad-form",
    "incomplete-body",
    "client-gone",
    "bodies-full",
    "unknown-host",
    "bad-inference-request",
    "unknown-version",
    "bad-request",
    "url-too-long",
    "headers-too-large",
    "slow-request",
)

_RETRY_SECONDS = {429: 1, 503: 2}
_DESCRIPTIONS = {
    504: "The caller's deadline passed, or the server's before the first run; past the server's the answer is else "
    "200, undecided."
}


class Problem(BaseModel):
    """RFC 9457 problem details."""

    type: str = Field(examples=["urn:mutant-guard:problem:bad-image"])
    title: str = Field(examples=["Unprocessable Content"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["the image is animated (12 frames); send a still image"])


class InferenceProblem(Problem):
    """RFC 9457 problem details under ``/v2``.

    Clients of the Open Inference Protocol read ``error``.
    """

    error: str = Field(examples=["the image is animated (12 frames); send a still image"])


class ProblemError(Exception):
    """Error of the HTTP request itself or of its sender, raised by endpoints."""

    def __init__(
        self, status: int, code: str, detail: str, *, headers: Mapping[str, str] | None = None
    ) -> None:
        """Make the error.

        Args:
            status: HTTP status.
            code: stable code.
            detail: sentence that names the fault and the remedy.
            headers: further headers; a Retry-After among them takes precedence over the status's
                own.
        """
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail
        self.headers = dict(headers or {})


def caller_refused(code: str, detail: str, headers: Mapping[str, str] | None = None) -> ProblemError:
    """Return the problem of a caller who may not do what they ask for.

    Args:
        code: key of ``CALLER_REASONS``, which gives the HTTP status.
        detail: sentence that names the fault and the remedy.
        headers: further headers.
    """
    return ProblemError(CALLER_REASONS[code], code, detail, headers=headers)


def status_of(error: RequestError) -> int:
    """Return the HTTP status of a refused request."""
    return _STATUS.get(error.code, 500)


def response(
    status: int,
    code: str,
    detail: str,
    headers: Mapping[str, str] | None = None,
    *,
    request: Request | None = None,
) -> Response:
    """Return a problem+json response, with Retry-After where trying again makes sense.

    Args:
        status: HTTP status.
        code: stable code.
        detail: sentence that names the fault and the remedy.
        headers: further headers.
        request: the request, None where it is not known; its path and id shape the response.
    """
    inference = request is not None and f"{request.scope['path']}/".startswith("/v2/")
    merged = dict(headers or {})
    if request is not None and REQUEST_ID in request.scope:
        merged["X-Request-Id"] = request.scope[REQUEST_ID]
    if status in _RETRY_SECONDS:
        merged.setdefault("Retry-After", str(_RETRY_SECONDS[status]))
    return Response(_body(status, code, detail, inference), status, headers=merged, media_type=MEDIA_TYPE)


@lru_cache(maxsize=128)  # under overload the same few bodies are sent, and every microsecond counts
def _body(status: int, code: str, detail: str, inference: bool) -> bytes:
    problem = Problem(
        type=f"urn:mutant-guard:problem:{code}", title=HTTPStatus(status).phrase, status=status, detail=detail
    )
    if inference:
        problem = InferenceProblem(**problem.model_dump(), error=detail)
    return problem.model_dump_json().encode()


async def on_request_error(request: Request, error: Exception) -> Response:
    """Answer a request that the guard refuses."""
    if not isinstance(error, RequestError):
        raise error
    headers = {"Retry-After": str(error.retry_after)} if isinstance(error, ProbingError) else None
    return response(status_of(error), error.code, str(error), headers, request=request)


async def on_problem(request: Request, error: Exception) -> Response:
    """Answer a malformed HTTP request, or a caller who may not send it."""
    if not isinstance(error, ProblemError):
        raise error
    return response(error.status, error.code, error.detail, error.headers, request=request)


async def on_http_exception(request: Request, error: Exception) -> Response:
    """Answer a request with an unknown path or method."""
    if not isinstance(error, HTTPException):
        raise error
    code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "-")
    return response(error.status_code, code, str(error.detail), error.headers, request=request)


async def on_failure(request: Request, _: Exception) -> Response:
    """Answer a request on which the server failed.

    The log has the traceback; the caller learns nothing of it.
    """
    return response(
        500, "internal-error", "the server failed on this request; its log says why", request=request
    )


async def on_validation_error(request: Request, error: Exception) -> Response:
    """Answer a request whose parameters do not parse."""
    if not isinstance(error, RequestValidationError):
        raise error
    first = error.errors()[0]
    where = " ".join(str(part) for part in first["loc"])
    return response(422, "bad-parameter", f"{where}: {first['msg']}", request=request)


def documented(*statuses: int, kind: type[Problem] = Problem) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI entries of the problems that an endpoint answers with.

    Args:
        statuses: HTTP statuses of the problems.
        kind: type of the problems; ``InferenceProblem`` under ``/v2``.
    """
    return {
        status: {
            "description": _DESCRIPTIONS.get(status, HTTPStatus(status).phrase),
            "content": {MEDIA_TYPE: {"schema": kind.model_json_schema()}},
        }
        for status in statuses
    }
