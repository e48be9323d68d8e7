"""Routes of the review queue: what waits for a person, and what reviewers decided."""

import asyncio
from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import Annotated, Literal, TypeVar
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response
from pydantic import ValidationError

from mutant_guard.wire.review import Decision, ReviewDetails, ReviewEntry, ReviewPage, ReviewState
from service.guard_service import GuardService
from service.http.access import may_review
from service.http.body import read_bounded
from service.http.current import service_of
from service.http.exchange import id_of
from service.http.problems import ProblemError, documented
from service.keys.api_keys import first_fault
from service.redis.link import RedisDownError, RedisRefusedError
from service.review import export as exported
from service.review.item import Item, Ruling, position
from service.review.queue import ReviewQueue, Wanted
from service.telemetry.access_log import log_review, sender_of

_T = TypeVar("_T")

router = APIRouter(prefix="/review", tags=["Review queue"])

_PROBLEMS = documented(401, 403, 404, 422, 429, 503)
_MOST_BYTES = 4096
_DECISION = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": Decision.model_json_schema()}},
    }
}

StateQuery = Annotated[
    Literal["open", "confirmed", "dismissed", "all"],
    Query(description="Which entries; all: whatever was decided."),
]
StoreQuery = Annotated[str | None, Query(max_length=256, description="Only those of the store of this name.")]


@router.get("", summary="What waits for review", responses=_PROBLEMS)
async def entries(
    request: Request,
    state: StateQuery = "open",
    store: StoreQuery = None,
    limit: Annotated[int, Query(ge=1, le=200, description="Most entries of the page.")] = 50,
    before: Annotated[str | None, Query(max_length=64, description="`next` of the page before.")] = None,
) -> ReviewPage:
    """List entries, the newest first."""
    queue = await _open(request)
    if before is not None and position(before) is None:
        raise ProblemError(
            422, "bad-parameter", "query before: it is no id of an entry; pass `next` of a page"
        )
    wanted = Wanted(None if state == "all" else ReviewState(state), store, before, limit + 1)
    found = await _there(queue.newest(wanted))
    shown = found[:limit]
    page = ReviewPage(
        entries=[item.entry() for item in shown],
        next=shown[-1].id if len(found) > limit else None,
        open=await _there(queue.waiting()),
    )
    _log(request, "list")
    return page


@router.get(
    "/export",
    summary="Confirmed labels as a data set",
    response_class=Response,
    responses=_PROBLEMS | {200: {"content": {"application/octet-stream": {}}}},
)
async def export(
    request: Request,
    store: StoreQuery = None,
    sampled: Annotated[bool, Query(description="Only entries that were drawn at random.")] = False,
) -> Response:
    """Return an .npz of every image whose true label is known.

    It is for `mutant-store calibrate --data npz:FILE`. Alarms alone are no fair sample of the
    traffic: calibrate on what was drawn at random (GUARD_REVIEW_SAMPLE), or add other images.
    """
    queue = await _open(request)
    guard = service_of(request)
    model = guard.models.get(store)
    found = await _there(exported.labelled(queue, store=model.name, sampled=sampled))
    manifest = model.store.manifest
    shape = (manifest.input.height, manifest.input.width, manifest.input.channels)
    try:
        content = await asyncio.to_thread(exported.archive, found, list(manifest.classes), shape)
    except ValueError as error:
        raise ProblemError(
            404,
            "nothing-to-export",
            f"no entry of '{model.name}' has both its image and a true label; keep images (GUARD_REVIEW_IMAGES=true), "
            "then dismiss false alarms and confirm others with the label they should have",
        ) from error
    _log(request, "export")
    # A store may have any name; this form of a file's name is RFC 6266's for those beyond ASCII.
    name = quote(f"{model.name}-reviewed.npz", safe="")
    headers = {"Content-Disposition": f"attachment; filename=\"reviewed.npz\"; filename*=UTF-8''{name}"}
    return Response(content, media_type="application/octet-stream", headers=headers)


@router.get("/{identifier}", summary="An entry and the path of its test", responses=_PROBLEMS)
async def entry(request: Request, identifier: str) -> ReviewDetails:
    """Return an entry; 404 once it is older than entries are kept, or newer ones took its place."""
    queue = await _open(request)
    found = _found(await _there(queue.get(identifier)), identifier).details()
    _log(request, "look", identifier)
    return found


@router.get(
    "/{identifier}/image",
    summary="The image of an entry",
    response_class=Response,
    responses=_PROBLEMS | {200: {"content": {"image/png": {}}}},
)
async def image(request: Request, identifier: str) -> Response:
    """Return the pixels that the classifier saw, as a PNG."""
    queue = await _open(request)
    content = await _there(queue.image(identifier))
    if not content:
        _found(await _there(queue.get(identifier)), identifier)
        raise ProblemError(
            404,
            "no-image",
            "no image was kept with this entry; GUARD_REVIEW_IMAGES=true keeps those of new ones",
        )
    _log(request, "image", identifier)
    return Response(content, media_type="image/png")


@router.post(
    "/{identifier}",
    summary="Confirm or dismiss",
    responses=_PROBLEMS | documented(400, 413, 415),
    openapi_extra=_DECISION,
)
async def decide(request: Request, identifier: str) -> ReviewEntry:
    """Decide about an entry; deciding again replaces the earlier decision."""
    queue = await _open(request)
    decision = await _read(request)
    item = _found(await _there(queue.get(identifier)), identifier)
    ruling = _ruling(service_of(request), item, decision, sender_of(request.scope).key)
    ruled = _found(await _there(queue.rule(identifier, ruling)), identifier)
    _log(request, decision.decision, identifier)
    return ruled.entry()


@router.delete("/{identifier}", summary="Delete", status_code=204, responses=_PROBLEMS)
async def delete(request: Request, identifier: str) -> Response:
    """Delete an entry for good, with its image and its decision, where callers ask for that.

    The same pixels are queued again if they come again.
    """
    queue = await _open(request)
    if not await _there(queue.remove(identifier)):
        _found(None, identifier)
    _log(request, "delete", identifier)
    return Response(status_code=204)


async def _open(request: Request) -> ReviewQueue:
    """Return the queue; refuse callers who may not review."""
    await may_review(request)
    reviews = service_of(request).state.reviews
    if reviews is None:
        raise ProblemError(
            404,
            "review-off",
            "this server keeps no review queue; GUARD_REVIEW_ENTRIES above 0 has it keep one, and several processes "
            "(GUARD_PROCESSES) keep theirs in Redis (GUARD_REDIS_URL) alone",
        )
    return reviews.queue


def _log(request: Request, action: str, entry: str | None = None) -> None:
    """Log what a reviewer did, once it succeeded."""
    log_review(request_id=id_of(request), sender=sender_of(request.scope), action=action, entry=entry)


async def _there(asked: Awaitable[_T]) -> _T:
    try:
        return await asked
    except RedisRefusedError as error:
        raise ProblemError(
            503,
            "redis-refused",
            "the review queue is in Redis, which refuses this call; the server's log says why",
        ) from error
    except RedisDownError as error:
        raise ProblemError(
            503, "redis-down", "the review queue is in Redis, which is not answering; try again in a moment"
        ) from error


def _found(item: Item | None, identifier: str) -> Item:
    if item is None:
        raise ProblemError(
            404,
            "unknown-entry",
            f"the review queue has no entry '{identifier[:64]}'; it may have made room for newer ones",
        )
    return item


async def _read(request: Request) -> Decision:
    # A page of another origin can send a form or plain text without a preflight request, but not
    # JSON.
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise ProblemError(415, "unsupported-type", "send the decision with Content-Type: application/json")
    body = await read_bounded(request, _MOST_BYTES)
    try:
        return Decision.model_validate_json(body)
    except ValidationError as error:
        raise ProblemError(422, "bad-decision", first_fault(error)) from error


def _ruling(guard: GuardService, item: Item, decision: Decision, reviewer: str | None) -> Ruling:
    found = item.found
    confirmed = decision.decision == "confirm"
    if not confirmed and decision.label not in (None, found.label):
        raise ProblemError(
            422,
            "bad-decision",
            f"to dismiss is to say that the label {found.label} is right; confirm with label {decision.label} instead",
        )
    label = decision.label if confirmed else found.label
    name = None if label is None else _class_name(guard, item, label)
    return Ruling(
        state=ReviewState.CONFIRMED if confirmed else ReviewState.DISMISSED,
        at=datetime.now(UTC),
        reviewer=reviewer,
        true_label=label,
        true_class_name=name,
    )


def _class_name(guard: GuardService, item: Item, label: int) -> str | None:
    if label == item.found.label:
        return item.found.class_name
    if label == item.found.suggested_label:
        return item.found.suggested_class_name
    if item.found.store.name not in guard.models.names:
        raise ProblemError(
            422,
            "bad-decision",
            f"this server does not serve '{item.found.store.name}' and cannot tell whether there is a class {label}; "
            "decide at one that does, or confirm without a label",
        )
    classes = guard.models.get(item.found.store.name).store.manifest.classes
    if label >= len(classes):
        raise ProblemError(
            422,
            "bad-decision",
            f"there is no class {label}; '{item.found.store.name}' has 0 to {len(classes) - 1}",
        )
    return classes[label]
