"""Routes of the Open Inference Protocol's health and metadata."""

from importlib.metadata import version as version_of

from fastapi import APIRouter, Request

from mutant_guard.errors import UnknownStoreError
from mutant_guard.runtime.model import Model
from mutant_guard.wire.inference import (
    Live,
    ModelMetadata,
    ModelReady,
    ModelState,
    Ready,
    ServerMetadata,
)
from service.guard_service import GuardService
from service.http.access import may_look
from service.http.current import service_of
from service.http.problems import InferenceProblem, ProblemError, documented
from service.inference_protocol.inputs import described
from service.inference_protocol.outputs import Outputs
from service.keys.api_keys import Detail

router = APIRouter(prefix="/v2", tags=["Open Inference Protocol"])

_EXTENSIONS = ["binary_tensor_data", "model_repository"]
_HEALTH = documented(503, kind=InferenceProblem)
_LOOK = documented(401, 429, kind=InferenceProblem)
_LOOK_AT_MODEL = documented(401, 404, 429, kind=InferenceProblem)
_MODEL_HEALTH = documented(404, 503, kind=InferenceProblem)


def find_model(guard: GuardService, name: str, version: str | None) -> Model:
    """Return the model of a name, if it is loaded in this version.

    Args:
        guard: guard that serves the models.
        name: name of the model.
        version: version of the model, None for any.

    Raises:
        UnknownStoreError: there is no store of that name.
        ProblemError: 404, another version of the model is loaded.
    """
    model = guard.models.get(name)
    if version is not None:
        check_version(model, version)
    return model


def check_version(model: Model, version: str) -> None:
    """Refuse a version other than the one that is loaded.

    Raises:
        ProblemError: 404, another version is loaded.
    """
    if version != model.version:
        raise ProblemError(
            404,
            "unknown-version",
            f"model '{model.name}' has version {model.version} loaded, not '{version[:64]}'; ask for that one, or "
            "leave the version out",
        )


def outputs_of(model: Model) -> Outputs:
    """Return the outputs of a model."""
    manifest = model.store.manifest
    return Outputs(manifest.output_name, manifest.output_kind, len(manifest.classes))


def states(guard: GuardService) -> list[ModelState]:
    """Return the state of every model: whether it answers, and why not."""
    return [
        ModelState(
            name=model.name,
            version=model.version,
            state="UNAVAILABLE" if (reason := _unready(guard, model)) else "READY",
            reason=reason,
        )
        for model in guard.models
    ]


def _unready(guard: GuardService, *models: Model, named: bool = True) -> str:
    """Return the reason not all of these models take requests, empty if they do.

    Args:
        guard: guard that serves them.
        models: the models.
        named: whether the reason may name models.
    """
    if guard.draining:
        return "the server is about to stop"
    if guard.keys.stale:
        return "the file of API keys cannot be read"
    failed = [model.name for model in models if not model.ready]
    if failed and not named:
        return "an inference loop is not running"
    return f"the inference loop of {', '.join(failed)} is not running" if failed else ""


def _refuse(reason: str) -> None:
    if reason:
        raise ProblemError(503, "not-ready", reason)


@router.get("", summary="The server and its extensions", responses=_LOOK)
async def server_metadata(request: Request) -> ServerMetadata:
    """Return name, version, and the extensions of the protocol that are known here."""
    await may_look(request)
    return ServerMetadata(name="mutant-guard", version=version_of("mutant-guard"), extensions=_EXTENSIONS)


@router.get("/health/live", summary="Whether the process is alive", responses=_HEALTH)
async def live(request: Request) -> Live:
    """Answer 503 once an inference loop has failed or hangs: only a restart helps then."""
    if service_of(request).failed:
        _refuse("an inference loop has failed; the process needs a restart")
    return Live(live=True)


@router.get("/health/ready", summary="Whether every model takes requests", responses=_HEALTH)
async def ready(request: Request) -> Ready:
    """Answer 503 while draining, and after an inference loop failed."""
    guard = service_of(request)
    _refuse(_unready(guard, *guard.models, named=guard.keys.open))
    return Ready(ready=True)


@router.get("/models", summary="The models that are served", responses=_LOOK)
async def models(request: Request) -> list[ModelState]:
    """Return name, version and state of each model, the default first."""
    await may_look(request)
    return states(service_of(request))


@router.get("/models/{name}", summary="A model, its inputs and outputs", responses=_LOOK_AT_MODEL)
async def model_metadata(request: Request, name: str) -> ModelMetadata:
    """Return a model's inputs and outputs.

    A request sends one of the inputs. The outputs are those that the caller may see.
    """
    return await _metadata(request, name, None)


@router.get(
    "/models/{name}/versions/{version}",
    summary="A model in the version that is loaded",
    responses=_LOOK_AT_MODEL,
)
async def version_metadata(request: Request, name: str, version: str) -> ModelMetadata:
    """Return the metadata of this version; 404 where another version is loaded."""
    return await _metadata(request, name, version)


@router.get("/models/{name}/ready", summary="Whether a model takes requests", responses=_MODEL_HEALTH)
async def model_ready(request: Request, name: str) -> ModelReady:
    """Answer 503 while draining, and after the model's inference loop failed."""
    return _readiness(request, name, None)


@router.get(
    "/models/{name}/versions/{version}/ready",
    summary="Whether a model takes requests in this version",
    responses=_MODEL_HEALTH,
)
async def version_ready(request: Request, name: str, version: str) -> ModelReady:
    """Answer 503 as for the model alone; 404 where another version is loaded."""
    return _readiness(request, name, version)


async def _metadata(request: Request, name: str, version: str | None) -> ModelMetadata:
    detail = await may_look(request)
    model = find_model(service_of(request), name, version)
    return ModelMetadata(
        name=model.name,
        versions=[model.version],
        platform="onnxruntime_onnx",
        inputs=described(model.store.manifest.input),
        outputs=outputs_of(model).described(secrets=detail == Detail.FULL),
    )


def _readiness(request: Request, name: str, version: str | None) -> ModelReady:
    """Answer a probe, which has no key: where keys are asked for, it names nothing that is served."""
    guard = service_of(request)
    try:
        model = find_model(guard, name, version)
    except (UnknownStoreError, ProblemError) as error:
        if guard.keys.open:
            raise
        raise ProblemError(
            404,
            "unknown-store",
            "there is no such model, or it is not loaded in this version; GET /v2/models says",
        ) from error
    _refuse(_unready(guard, model))
    return ModelReady(name=model.name, ready=True)
