"""Log lines of requests: one for each answer or refusal.

They hold the image's SHA-256 and never the image.
"""

import structlog

from mutant_guard.runtime.answer import Answer
from service.telemetry.trace_context import TraceContext

_DETAIL_LENGTH = 500
"""Most characters of a detail that are logged, since a detail may quote the caller."""


def log_answer(
    answer: Answer,
    trace: TraceContext,
    *,
    request_id: str,
    key: str | None,
    elapsed: float,
    status: int = 200,
) -> None:
    """Log ``classified``, one line for each image of a request.

    Args:
        answer: the guard's answer; without the guard (``guard=off``) the line has no verdict.
        trace: place of the request in its trace.
        request_id: id of the request.
        key: name of the caller's API key, None without one.
        elapsed: seconds from the request's arrival to its answer.
        status: HTTP status of the answer.
    """
    judgement, timings, guarded = answer.judgement, answer.timings, answer.guarded
    because = judgement.undecided_because
    structlog.get_logger().info(
        "classified",
        request_id=request_id,
        trace_id=trace.trace_id,
        span_id=trace.span_id,
        store=answer.model.name,
        version=answer.model.version,
        label=judgement.label,
        verdict=judgement.verdict.value if guarded else None,
        undecided_because=because.value if guarded and because is not None else None,
        mutants=judgement.mutants,
        decided_by=judgement.decided_by if guarded else None,
        cached=answer.cached,
        key=key,
        decode_ms=_milliseconds(timings.decode),
        queue_ms=_milliseconds(timings.queue),
        mutants_ms=_milliseconds(timings.mutants),
        elapsed_ms=_milliseconds(elapsed),
        body_sha256=answer.body_sha256,
        status=status,
    )


def log_refusal(
    trace: TraceContext,
    *,
    request_id: str,
    key: str | None,
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
        key: name of the caller's API key; None without one, and where it is not known yet.
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
        key=key,
        reason=reason,
        detail=detail[:_DETAIL_LENGTH],
        elapsed_ms=None if elapsed is None else _milliseconds(elapsed),
        body_sha256=body_sha256,
        status=status,
    )


def log_review(*, action: str, entry: str | None, key: str | None) -> None:
    """Log ``reviewed``: a reviewer looked at, exported, deleted or decided what callers sent.

    Args:
        action: ``image``, ``export``, ``confirm``, ``dismiss`` or ``delete``.
        entry: id of the entry; None where the action is about all entries.
        key: name of the reviewer's API key, None without one.
    """
    structlog.get_logger().info("reviewed", action=action, entry=entry, key=key)


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1e6) / 1000  # three times as fast as round(…, 3)
