"""Route ``POST /classify``: takes an image and answers with its label and verdict."""

from collections.abc import Mapping

from fastapi import APIRouter, Request, Response
from pydantic_core import to_json

from mutant_guard.errors import RequestError
from mutant_guard.wire.verdict import BareClassification, Classification
from service.classification import bare_values, classification_values
from service.http.access import identify
from service.http.body import IMAGE_TYPES, MULTIPART, read_image
from service.http.current import service_of
from service.http.detail import may_explain, withheld
from service.http.exchange import Exchange
from service.http.options import parameters, read_options
from service.http.presence import Presence
from service.http.problems import ProblemError, documented
from service.keys.api_keys import Detail

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
    },
    "parameters": parameters(),
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


class _Answer(Response):
    """Answer in JSON, whose few headers are written without looking for others."""

    def init_headers(self, headers: Mapping[str, str] | None = None) -> None:
        given = (headers or {}).items()
        self.raw_headers = [
            (b"content-length", b"%d" % len(self.body)),
            (b"content-type", b"application/json"),
            *((name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in given),
        ]


@router.post(
    "/classify",
    response_model=Classification | BareClassification,
    responses=documented(400, 401, 403, 404, 413, 415, 422, 429, 503, 504),
    openapi_extra=_REQUEST_BODY,
    summary="Classify an image and say whether to trust the label",
)
async def classify(request: Request) -> Response:
    """Answer with the original model's label, a verdict, and the number of mutants it took."""
    served, exchange = service_of(request), Exchange(request, "POST /classify")
    try:
        served.at_the_door()
        caller = exchange.caller = await identify(request)
        options = read_options(request)
        if options.explain:
            may_explain(caller)
        body = await read_image(request, served.settings.max_body_bytes)
        query = exchange.query(served)
        with Presence(request):
            answer = await served.judge(
                body,
                store=options.store,
                seconds=options.seconds,
                guarded=options.guard == "on",
                query=query,
            )
        scores = caller.detail == Detail.FULL and not (query is not None and query.withheld)
        explained = options.explain and answer.guarded and scores
        told = await served.guard.aexplain(answer) if explained else None
    except (RequestError, ProblemError) as error:
        exchange.refused(served, error)
        raise
    elapsed = exchange.answered(served, (answer, query))
    if answer.guarded:
        said = classification_values(answer, request_id=exchange.request_id, elapsed=elapsed, query=query)
    else:
        said = bare_values(answer, request_id=exchange.request_id, elapsed=elapsed)
    if told is not None:
        said["explanation"] = told.model_dump(exclude_unset=True)
    return _Answer(to_json(said if scores else withheld(said)), headers={"X-Request-Id": exchange.request_id})
