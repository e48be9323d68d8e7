"""Thin endpoints over the guard."""

import time
import uuid
from typing import Annotated

import structlog
from fastapi import APIRouter, Query, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from service.errors import RequestError
from service.guard import Guard
from service.http.body import IMAGE_TYPES, MULTIPART, read_image
from service.http.problems import ProblemError, documented, response
from service.verdict import Classification, Judgement, StoreName

router = APIRouter()

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_FORM = {
    "schema": {
        "type": "object",
        "required": ["image"],
        "properties": {"image": {"type": "string", "format": "binary"}},
    }
}
_REQUEST_BODY = {
    "requestBody": {
        "required": True,
        "description": "One still PNG, JPEG or WebP image.",
        "content": {**dict.fromkeys(IMAGE_TYPES, _BINARY), MULTIPART: _FORM},
    }
}
_EXAMPLE = {
    "request_id": "0b8f7f0e9a6c4a3e",
    "store": {"name": "mnist-lenet", "version": "3f9c1d2e4b5a6978"},
    "label": 7,
    "class_name": "7",
    "confidence": 0.998,
    "verdict": "normal",
    "undecided_because": None,
    "adversarial": False,
    "mutants": 12,
    "label_changes": 0,
    "label_change_rate": 0.0,
    "doubt": None,
    "decided_by": "nai",
    "suggested_label": None,
    "suggested_class_name": None,
    "suggested_share": None,
    "policy": "calibrated",
    "error_bounds": {"alpha": 0.05, "beta": 0.05},
    "cached": False,
    "elapsed_ms": 2.1,
}
_UNDECIDED = _EXAMPLE | {
    "confidence": 0.574,
    "verdict": "undecided",
    "undecided_because": "deadline",
    "mutants": 40,
    "label_changes": 11,
    "label_change_rate": 0.275,
    "decided_by": None,
    "elapsed_ms": 30012.7,
}
EXAMPLES = {
    "decided": {"summary": "The test decided", "value": _EXAMPLE},
    "undecided": {"summary": "The deadline passed before it did", "value": _UNDECIDED},
}


def _guard(request: Request) -> Guard:
    guard = request.app.state.guard
    if not isinstance(guard, Guard):
        raise TypeError("the application was started without a guard")
    return guard


@router.post(
    "/classify",
    response_model=Classification,
    response_model_exclude_unset=True,
    responses=documented(413, 415, 422, 429, 503, 504),
    openapi_extra=_REQUEST_BODY,
    summary="Classify an image and say whether to trust the label",
)
async def classify(
    request: Request,
    explain: Annotated[bool, Query(description="Add the path of the test, one entry a mutant.")] = False,
) -> Classification:
    """Answers with the original model's label, a verdict, and the number of mutants it took."""
    started = time.perf_counter()
    guard = _guard(request)
    request_id = request.headers.get("x-request-id", "")[:128] or uuid.uuid4().hex
    log = structlog.get_logger().bind(request_id=request_id)
    try:
        body = await read_image(request, guard.settings.max_body_bytes)
        judgement, cached = await guard.judge(body)
    except (RequestError, ProblemError) as error:
        guard.metrics.requests_rejected.labels(error.code).inc()
        log.info("refused", reason=error.code, detail=str(error))
        raise
    elapsed = time.perf_counter() - started
    guard.metrics.request_duration.observe(elapsed)
    guard.metrics.verdicts.labels(guard.store.name, judgement.verdict.value, str(cached).lower()).inc()
    answer = classification(guard, judgement, request_id=request_id, cached=cached, elapsed=elapsed)
    log.info(
        "classified",
        label=answer.label,
        verdict=answer.verdict.value,
        undecided_because=answer.undecided_because and answer.undecided_because.value,
        mutants=answer.mutants,
        decided_by=answer.decided_by,
        suggested_label=answer.suggested_label,
        cached=cached,
        elapsed_ms=answer.elapsed_ms,
    )
    return answer.model_copy(update={"explanation": guard.explain(judgement)}) if explain else answer


def classification(
    guard: Guard, judgement: Judgement, *, request_id: str, cached: bool, elapsed: float
) -> Classification:
    """The response body for a judgement; ``elapsed`` in seconds."""
    alarm = guard.is_alarm(judgement.verdict)
    suggested, share = (judgement.suggestion if alarm else None) or (None, None)
    doubt = guard.doubt(judgement)
    return Classification(
        request_id=request_id,
        store=StoreName(name=guard.store.name, version=guard.store.version),
        label=judgement.label,
        class_name=judgement.class_name,
        confidence=round(judgement.confidence, 6),
        verdict=judgement.verdict,
        undecided_because=judgement.undecided_because,
        adversarial=alarm,
        mutants=judgement.mutants,
        label_changes=judgement.label_changes,
        label_change_rate=round(judgement.label_changes / max(judgement.mutants, 1), 6),
        doubt=None if doubt is None else round(doubt, 6),
        decided_by=judgement.decided_by,
        suggested_label=suggested,
        suggested_class_name=None if suggested is None else guard.store.manifest.classes[suggested],
        suggested_share=None if share is None else round(share, 6),
        policy=guard.policy.name,
        error_bounds=guard.error_bounds,
        cached=cached,
        elapsed_ms=round(elapsed * 1000, 3),
    )


@router.get("/livez", summary="Whether the process is alive")
async def livez() -> dict[str, str]:
    """Always answers while the event loop runs."""
    return {"status": "alive"}


@router.get("/readyz", summary="Whether requests are taken", responses=documented(503))
async def readyz(request: Request) -> Response:
    """503 while the store loads, while draining, and after the inference loop failed."""
    if not _guard(request).ready:
        return response(503, "not-ready", "the inference loop is not running")
    return Response('{"status":"ready"}', media_type="application/json")


@router.get("/metrics", summary="Prometheus metrics", response_class=Response)
async def metrics(request: Request) -> Response:
    """Text exposition format."""
    return Response(generate_latest(_guard(request).metrics.registry), media_type=CONTENT_TYPE_LATEST)
