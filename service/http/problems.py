"""Errors as problem+json (RFC 9457)."""

from http import HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from service.errors import RequestError

MEDIA_TYPE = "application/problem+json"

_STATUS = {"bad-image": 422, "queue-full": 429, "not-ready": 503, "deadline": 504}
# Why a request for a verdict may be refused; counted from zero, so that the first refusal shows in a rate.
REASONS = (*_STATUS, "body-too-large", "unsupported-type", "bad-form", "incomplete-body")

_RETRY_SECONDS = {429: 1, 503: 2}
_DESCRIPTIONS = {
    504: "The deadline passed before a mutant was evaluated; past it with some the answer is 200, undecided."
}


class Problem(BaseModel):
    """RFC 9457 problem details."""

    type: str = Field(examples=["urn:mutant-guard:problem:bad-image"])
    title: str = Field(examples=["Unprocessable Content"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["the image is animated (12 frames); send a still image"])


class ProblemError(Exception):
    """Raised by endpoints for what is wrong with the HTTP request itself."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        """Args: HTTP status, stable code, and a sentence that names the thing and the remedy."""
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail


def status_of(error: RequestError) -> int:
    """HTTP status of a refused request."""
    return _STATUS.get(error.code, 500)


def response(status: int, code: str, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """A problem+json response, with Retry-After where trying again makes sense."""
    problem = Problem(
        type=f"urn:mutant-guard:problem:{code}", title=HTTPStatus(status).phrase, status=status, detail=detail
    )
    merged = dict(headers or {})
    if status in _RETRY_SECONDS:
        merged["Retry-After"] = str(_RETRY_SECONDS[status])
    return JSONResponse(problem.model_dump(), status, headers=merged, media_type=MEDIA_TYPE)


async def on_request_error(_: Request, error: Exception) -> JSONResponse:
    """A refused request."""
    if not isinstance(error, RequestError):
        raise error
    return response(status_of(error), error.code, str(error))


async def on_problem(_: Request, error: Exception) -> JSONResponse:
    """A malformed HTTP request."""
    if not isinstance(error, ProblemError):
        raise error
    return response(error.status, error.code, error.detail)


async def on_http_exception(_: Request, error: Exception) -> JSONResponse:
    """Unknown paths and methods."""
    if not isinstance(error, HTTPException):
        raise error
    code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "-")
    return response(error.status_code, code, str(error.detail), dict(error.headers or {}))


async def on_failure(_: Request, __: Exception) -> JSONResponse:
    """Anything else; the log has the traceback, the caller learns nothing of it."""
    return response(500, "internal-error", "the server failed on this request; its log says why")


async def on_validation_error(_: Request, error: Exception) -> JSONResponse:
    """Query parameters that do not parse."""
    if not isinstance(error, RequestValidationError):
        raise error
    first = error.errors()[0]
    where = " ".join(str(part) for part in first["loc"])
    return response(422, "bad-parameter", f"{where}: {first['msg']}")


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI entries for the problems an endpoint answers with."""
    return {
        status: {
            "description": _DESCRIPTIONS.get(status, HTTPStatus(status).phrase),
            "content": {MEDIA_TYPE: {"schema": Problem.model_json_schema()}},
        }
        for status in statuses
    }
