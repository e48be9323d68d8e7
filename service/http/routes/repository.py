"""Routes of the Open Inference Protocol's model repository: list models, load a new version."""

from typing import Any, TypeVar

from fastapi import APIRouter, Request
from structlog.contextvars import bound_contextvars

from mutant_guard.errors import GuardError
from mutant_guard.wire.inference import LoadRequest, ModelState, RepositoryQuery, schema_of
from service.http.access import may_look, require_admin
from service.http.body import read_bounded
from service.http.current import service_of
from service.http.exchange import id_of
from service.http.problems import InferenceProblem, ProblemError, documented
from service.http.routes.served_models import states
from service.inference_protocol.errors import ProtocolError
from service.inference_protocol.request import read_json
from service.telemetry.access_log import log_load, sender_of

_M = TypeVar("_M", LoadRequest, RepositoryQuery)

router = APIRouter(prefix="/v2/repository", tags=["Open Inference Protocol"])


def _taken(message: type[LoadRequest | RepositoryQuery]) -> dict[str, Any]:
    """Return the OpenAPI entry of an optional body, which is read whatever its content type."""
    content = {"application/json": {"schema": schema_of(message)}}
    return {"requestBody": {"required": False, "content": content}}


@router.post(
    "/index",
    summary="The models that are served",
    responses=documented(400, 401, 413, 429, kind=InferenceProblem),
    openapi_extra=_taken(RepositoryQuery),
)
async def index(request: Request) -> list[ModelState]:
    """Return name, version and state of each model, the default first."""
    await may_look(request)
    query = await _read(request, RepositoryQuery)
    return [found for found in states(service_of(request)) if found.state == "READY" or not query.ready]


@router.post(
    "/models/{name}/load",
    summary="Serve the current version of a store",
    responses=documented(400, 401, 403, 404, 409, 413, 429, kind=InferenceProblem),
    openapi_extra=_taken(LoadRequest),
)
async def load(request: Request, name: str) -> ModelState:
    """Serve the version that ``CURRENT`` names. Takes an admin key.

    The answer comes once that version is served. No request fails for it, and requests that have
    begun end with the version they began with. 409 where the version does not load; the previous
    version stays in service.
    """
    await require_admin(request)
    wanted = await _read(request, LoadRequest)
    if wanted.parameters:
        raise ProblemError(
            400,
            "bad-inference-request",
            "a model is loaded as its store says; send no parameters, publish a version instead",
        )
    guard = service_of(request)
    before = guard.models.get(name).version
    told, sender = id_of(request), sender_of(request.scope)
    try:
        with bound_contextvars(request_id=told, **sender._asdict()):
            model = await guard.load(name)
    except GuardError as error:
        raise ProblemError(
            409,
            "not-loaded",
            f"version {before} of '{name}' goes on, since the current one does not load: {error}",
        ) from error
    log_load(request_id=told, sender=sender, store=model.name, version=model.version, before=before)
    return ModelState(name=model.name, version=model.version, state="READY", reason="")


async def _read(request: Request, kind: type[_M]) -> _M:
    body = await read_bounded(request, service_of(request).settings.max_body_bytes)
    try:
        return read_json(body or b"{}", kind)
    except ProtocolError as error:
        raise ProblemError(400, "bad-inference-request", str(error)) from error
