"""Routes of the Open Inference Protocol: inference, with health, metadata and repository included.

Source: https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol
"""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response

from mutant_guard.errors import BadImageError, RequestError
from mutant_guard.images.decoding import Image
from mutant_guard.runtime.answer import Answer
from mutant_guard.runtime.model import Model
from mutant_guard.wire.inference import InferRequest, InferResponse, schema_of
from service.guard_service import GuardService
from service.http.access import identify
from service.http.body import read_bounded, refuse_encoded
from service.http.current import service_of
from service.http.exchange import Exchange
from service.http.options import TimeoutHeader
from service.http.presence import Presence
from service.http.problems import InferenceProblem, ProblemError, caller_refused, documented
from service.http.routes import repository, served_models
from service.http.routes.served_models import check_version, find_model, outputs_of
from service.inference_protocol.errors import HiddenOutputError, ProtocolError
from service.inference_protocol.inputs import images
from service.inference_protocol.outputs import ImageResult, tensors
from service.inference_protocol.request import InferenceRequest, parse
from service.inference_protocol.response import encode
from service.keys.api_keys import Detail
from service.probing.query import Query

router = APIRouter(tags=["Open Inference Protocol"])

_JSON, _BINARY = "application/json", "application/octet-stream"
_LENGTH = "Inference-Header-Content-Length"
_ASIDE_BYTES = 1 << 16
"""Largest body in bytes that is read in the event loop; larger ones are read in a thread."""

LengthHeader = Annotated[
    int | None,
    Header(
        alias=_LENGTH,
        description="Length in bytes of the JSON, where binary data follows it.",
        ge=0,
    ),
]
_RAW = {"schema": {"type": "string", "format": "binary"}}
_INFER: dict[str, Any] = {
    "response_model": InferResponse,
    "responses": {
        200: {
            "description": "Label and verdict of every image. Outputs asked for as binary data follow the JSON.",
            "content": {_BINARY: _RAW},
            "headers": {_LENGTH: {"description": "Length of the JSON.", "schema": {"type": "integer"}}},
        },
        **documented(400, 401, 403, 404, 413, 415, 422, 429, 503, 504, kind=InferenceProblem),
    },
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "description": "One input: `image` (BYTES [N], PNG, JPEG or WebP files: as they are in binary data, base64 "
            "text in JSON) or `pixels` (UINT8 [N, height, width, channels], at model size).",
            "content": {_JSON: {"schema": schema_of(InferRequest)}, _BINARY: _RAW},
        }
    },
}


@router.post(
    "/v2/models/{name}/infer", summary="Classify images and say whether to trust the labels", **_INFER
)
async def infer(
    request: Request, name: str, length: LengthHeader = None, timeout_ms: TimeoutHeader = None
) -> Response:
    """Judge every image as ``POST /classify`` does; all images are answered or none."""
    return await _infer(request, name, None, length, timeout_ms)


@router.post(
    "/v2/models/{name}/versions/{version}/infer",
    summary="Classify images with the version of a model that is loaded",
    **_INFER,
)
async def infer_with_version(
    request: Request,
    name: str,
    version: str,
    length: LengthHeader = None,
    timeout_ms: TimeoutHeader = None,
) -> Response:
    """Judge every image with the named version; answers 404 where another version is loaded."""
    return await _infer(request, name, version, length, timeout_ms)


async def _infer(
    request: Request, name: str, version: str | None, length: int | None, timeout_ms: float | None
) -> Response:
    guard, exchange = service_of(request), Exchange(request, "POST /v2/models/{name}/infer")
    try:
        guard.at_the_door()
        caller = exchange.caller = await identify(request)
        secrets = caller.detail == Detail.FULL
        model = find_model(guard, name, version)
        body = await _body(request, guard)
        asked, found = await _read(body, length, model, guard, secrets=secrets)
        queries = [exchange.query(guard) for _ in found]
        with Presence(request):
            answers = await _judge_all(guard, name, found, _seconds(asked.seconds, timeout_ms), queries)
        model = answers[0].model
        if version is not None:
            check_version(model, version)
        known = [query for query in queries if query is not None]
        response = _respond(asked, answers, exchange.request_id, known, secrets=secrets)
    except (ProtocolError, RequestError, ProblemError) as error:
        problem = _problem(error) if isinstance(error, ProtocolError) else error
        exchange.refused(guard, problem)
        raise problem from error
    exchange.answered(guard, *zip(answers, queries, strict=True))
    return response


async def _body(request: Request, guard: GuardService) -> bytes:
    kind = request.headers.get("content-type", _JSON).split(";")[0].strip().lower()
    if kind not in (_JSON, _BINARY):
        raise ProblemError(
            415,
            "unsupported-type",
            f"content type '{kind[:64]}' is not taken; send {_JSON}, or {_BINARY} where binary data follows it",
        )
    refuse_encoded(request)
    return await read_bounded(request, guard.settings.max_body_bytes)


async def _read(
    body: bytes, length: int | None, model: Model, guard: GuardService, *, secrets: bool
) -> tuple[InferenceRequest, Sequence[Image]]:
    """Return the parsed request and its images."""

    def read() -> tuple[InferenceRequest, Sequence[Image]]:
        asked = parse(body, length)
        outputs_of(model).chosen(asked, secrets=secrets)
        return asked, images(asked, model.store.manifest.input, guard.settings.max_images)

    return await asyncio.to_thread(read) if len(body) > _ASIDE_BYTES else read()


def _seconds(parameter: float | None, timeout_ms: float | None) -> float | None:
    """Return the sooner of the two deadlines that a request may have, None without one."""
    given = [parameter] if parameter is not None else []
    return min([*given, timeout_ms / 1000] if timeout_ms is not None else given, default=None)


async def _judge_all(
    guard: GuardService,
    name: str,
    found: Sequence[Image],
    seconds: float | None,
    queries: Sequence[Query | None],
) -> list[Answer]:
    """Return the answers to all images, made by one version of the model.

    One version judges them all because they begin with no reload in between.

    Raises:
        RequestError: the first error for any of the images; the other images are given up.
    """
    tasks = [
        asyncio.create_task(_judge(guard, name, image, seconds, number, len(found), query))
        for number, (image, query) in enumerate(zip(found, queries, strict=True))
    ]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)  # frees their places before the caller is told to try again


async def _judge(
    guard: GuardService,
    name: str,
    image: Image,
    seconds: float | None,
    number: int,
    count: int,
    query: Query | None,
) -> Answer:
    try:
        return await guard.judge(image, store=name, seconds=seconds, query=query)
    except BadImageError as error:
        if count > 1:
            error.args = (f"image {number} of {count}: {error}",)
        raise


def _respond(
    asked: InferenceRequest,
    answers: list[Answer],
    request_id: str,
    queries: Sequence[Query],
    *,
    secrets: bool,
) -> Response:
    """Return the response; one query whose scores are withheld withholds those of all images.

    Raises:
        HiddenOutputError: an output is asked for that the caller may not see.
    """
    model = answers[0].model
    withheld = any(query.withheld for query in queries)
    try:
        chosen = outputs_of(model).chosen(asked, secrets=secrets and not withheld)
    except HiddenOutputError as error:
        raise HiddenOutputError(
            "the scores of this request are withheld: too many images that hardly differ were asked for; ask for the "
            "other outputs"
        ) from error
    results = [_result(answer) for answer in answers]
    parameters = _told(queries) if secrets else None
    body, length = encode(model.name, model.version, asked.id, tensors(chosen, results), parameters)
    headers = {"X-Request-Id": request_id}
    if length is None:
        return Response(body, media_type=_JSON, headers=headers)
    return Response(body, media_type=_BINARY, headers=headers | {_LENGTH: str(length)})


def _told(queries: Sequence[Query]) -> dict[str, bool | int] | None:
    """Return the parameters that say what is known of the queries: of any of them, and at most."""
    told = [query for query in queries if query.disclosed]
    if not told:
        return None
    return {
        "probing": any(query.probing for query in told),
        "related_queries": max(query.related for query in told),
    }


def _result(answer: Answer) -> ImageResult:
    judgement = answer.judgement
    return ImageResult(
        scores=judgement.scores,
        label=judgement.label,
        class_name=judgement.class_name,
        confidence=judgement.confidence,
        verdict=judgement.verdict.value,
        undecided_because=judgement.undecided_because,
        adversarial=answer.adversarial,
        mutants=judgement.mutants,
        doubt=answer.model.doubt(judgement),
        decided_by=judgement.decided_by,
    )


def _problem(error: ProtocolError) -> ProblemError:
    if isinstance(error, HiddenOutputError):
        return caller_refused("detail-withheld", str(error))
    return ProblemError(400, "bad-inference-request", str(error))


router.include_router(served_models.router)
router.include_router(repository.router)
