"""Log lines of requests: one for each answer or refusal, and for what reviewers and admins do.

They hold the image's SHA-256 and never the image, and say who sent the request.
"""

from typing import NamedTuple

import structlog
from starlette.types import Scope

from mutant_guard.runtime.answer import Answer
from service.telemetry.logs import log_frequent
from service.telemetry.trace_context import TraceContext

_DETAIL_LENGTH = 500
"""Most characters of a detail that are logged, since a detail may quote the caller."""


KEY = "guard.key"
"""Key of a request's scope that holds the name of its API key, once that is known."""

_ADDRESS_LENGTH = 64
"""Most characters of an address in a header that are logged."""


class Sender(NamedTuple):
    """Sender of a request, for the log alone: nothing is decided by its addresses."""

    key: str | None
    """Name of the API key; None without one, and where it is not known."""
    peer: str | None
    """Address at the other end of the connection: the caller's, or a proxy's."""
    forwarded_for: str | None
    """Address that a proxy in front saw; what anybody wrote where there is none.
    It is the last element of X-Forwarded-For, in printable ASCII; None without that header."""


def sender_of(scope: Scope) -> Sender:
    """Return the sender of a request from its ASGI scope."""
    client = scope.get("client")
    forwarded = None
    for name, value in reversed(scope["headers"]):  # a proxy adds its header, or its element, at the end
        if name == b"x-forwarded-for":
            text = value.rpartition(b",")[2].strip()[:_ADDRESS_LENGTH].decode("latin-1")
            if not (text.isascii() and text.isprintable()):
                text = "".join(character for character in text if " " <= character <= "~")
            forwarded = text or None
            break
    return Sender(scope.get(KEY), client[0] if client else None, forwarded)


def log_answer(
    answer: Answer,
    trace: TraceContext,
    *,
    request_id: str,
    sender: Sender,
    elapsed: float,
    status: int = 200,
    related: int | None = None,
    probing: bool | None = None,
) -> None:
    """Log ``classified``, one line for each image of a request.

    Args:
        answer: the guard's answer; without the guard (``guard=off``) the line has no verdict.
        trace: place of the request in its trace.
        request_id: id of the request.
        sender: sender of the request.
        elapsed: seconds from the request's arrival to its answer.
        status: HTTP status of the answer.
        related: number of earlier queries that hardly differ; None where queries are not
            remembered, and the line then says nothing of it.
        probing: whether the query is part of an attack in the making; None with ``related``.
    """
    judgement, timings, guarded = answer.judgement, answer.timings, answer.guarded
    because = judgement.undecided_because
    log_frequent(
        "classified",
        {
            "request_id": request_id,
            "trace_id": trace.trace_id,
            "span_id": trace.span_id,
            "store": answer.model.name,
            "version": answer.model.version,
            "label": judgement.label,
            "verdict": judgement.verdict.value if guarded else None,
            "undecided_because": because.value if guarded and because is not None else None,
            "mutants": judgement.mutants,
            "decided_by": judgement.decided_by if guarded else None,
            "cached": answer.cached,
            "key": sender.key,
            "peer": sender.peer,
            "forwarded_for": sender.forwarded_for,
            "decode_ms": _milliseconds(timings.decode),
            "queue_ms": _milliseconds(timings.queue),
            "mutants_ms": _milliseconds(timings.mutants),
            "elapsed_ms": _milliseconds(elapsed),
            "body_sha256": answer.body_sha256,
            "status": status,
            **({} if related is None else {"related_queries": related, "probing": probing}),
        },
    )


def log_refusal(
    trace: TraceContext,
    *,
    request_id: str,
    sender: Sender,
    reason: str,
    detail: str,
    elapsed: float | None,
    body_sha256: str | None,
    status: int,
) -> None:
    """Log ``refused`` for a request that got no answer.

    Args:
        trace: place of the request in its trace.
        request_id: id of the request.
        sender: sender of the request.
        reason: stable code of the refusal.
        detail: text that the caller was told; its first 500 characters are logged.
        elapsed: seconds from the request's arrival to its answer; None where they were not
            measured.
        body_sha256: SHA-256 of the image in hex; None where the image was not read.
        status: HTTP status of the answer.
    """
    structlog.get_logger().info(
        "refused",
        request_id=request_id,
        trace_id=trace.trace_id,
        span_id=trace.span_id,
        key=sender.key,
        peer=sender.peer,
        forwarded_for=sender.forwarded_for,
        reason=reason,
        detail=detail[:_DETAIL_LENGTH],
        elapsed_ms=None if elapsed is None else _milliseconds(elapsed),
        body_sha256=body_sha256,
        status=status,
    )


def log_review(*, request_id: str, sender: Sender, action: str, entry: str | None) -> None:
    """Log ``reviewed``: a reviewer looked at, exported, deleted or decided what callers sent.

    Args:
        request_id: id of the request.
        sender: sender of the request.
        action: ``list``, ``look``, ``image``, ``export``, ``confirm``, ``dismiss`` or ``delete``.
        entry: id of the entry; None where the action is about all entries.
    """
    structlog.get_logger().info(
        "reviewed", request_id=request_id, action=action, entry=entry, **sender._asdict()
    )


def log_load(*, request_id: str, sender: Sender, store: str, version: str, before: str) -> None:
    """Log ``administered``: an admin had a store served in its current version.

    Args:
        request_id: id of the request.
        sender: sender of the request.
        store: name of the store.
        version: version that is served now.
        before: version that was served before, which may be the same.
    """
    structlog.get_logger().info(
        "administered",
        request_id=request_id,
        action="load",
        store=store,
        version=version,
        before=before,
        **sender._asdict(),
    )


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1e6) / 1000  # three times as fast as round(…, 3)
