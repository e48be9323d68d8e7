"""Log line of a campaign: many near-identical images are asked for."""

from datetime import UTC, datetime

import structlog

from mutant_guard.runtime.model import Model
from service.probing.sequence import Sequence
from service.telemetry.access_log import Sender


def log_campaign(
    sequence: Sequence,
    model: Model,
    *,
    first_request: str | None,
    first_at: float,
    request_id: str,
    sender: Sender,
) -> None:
    """Log ``campaign``, once when it is found and again whenever it has doubled.

    Args:
        sequence: the sequence of near-identical images.
        model: version of the store that they were sent to.
        first_request: id of the request that began it, at most 32 characters; None where it is
            forgotten.
        first_at: time of that request, in seconds since 1970.
        request_id: id of the latest request.
        sender: sender of the latest request.
    """
    structlog.get_logger().warning(
        "campaign",
        store=model.name,
        version=model.version,
        sequence=sequence.number,
        queries=sequence.related + 1,
        first=_iso(first_at),
        last=_iso(first_at + sequence.last - sequence.first),
        first_request_id=first_request,
        request_id=request_id,
        callers=dict(sequence.callers),
        alarms=sequence.alarms,
        disagreeing=sequence.disagreeing,
        edited=sequence.edited,
        halvings=sequence.halvings,
        sampled=sequence.sampled,
        **sender._asdict(),
    )


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
