"""Place of a request in a trace: the caller's trace, or one that starts here.

Source: W3C Trace Context, https://www.w3.org/TR/trace-context/.
"""

import os
import re
from typing import NamedTuple

from starlette.datastructures import Headers

_REQUEST_ID_LENGTH = 128
_TRACESTATE_BYTES = 512  # the least that must be passed on; more is not needed here
_TRACESTATE_MEMBERS = 32

# All widths are fixed, so that matching never backtracks.
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
# Key of a vendor, or of a tenant under a vendor, in a member no longer than _TRACESTATE_BYTES.
_KEY = r"[a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13}"
_MEMBER = re.compile(rf"(?:{_KEY})=[ -+\--<>-~]{{0,255}}[!-+\--<>-~]")
_NO_TRACE, _NO_PARENT = "0" * 32, "0" * 16


class TraceContext(NamedTuple):
    """Place of a request in a trace. Ids are lower-case hex and never all zeros."""

    trace_id: str
    """Trace id, 32 digits; the caller's, or made here."""
    parent_id: str | None
    """Id of the caller's span, 16 digits; None where the trace starts here."""
    span_id: str
    """Id of this server's span, 16 digits; always made here."""
    sampled: bool
    """Whether the caller records the trace; True where it starts here and the sampler decides."""
    tracestate: str
    """Vendors' data passed along, at most 512 bytes; empty without a caller's trace."""


def trace_context(headers: Headers) -> TraceContext:
    """Return the place in a trace given by a request's headers, or start a new trace.

    The headers are ``traceparent`` and ``tracestate``. A ``traceparent`` that breaks the rules, or
    comes twice, counts as absent; of one of a later version the known part is read. Without a
    caller's trace there is no ``tracestate``. A ``tracestate`` that breaks the rules, or is over
    512 bytes, is dropped and the trace kept.
    """
    given = headers.getlist("traceparent")
    found = _TRACEPARENT.fullmatch(given[0]) if len(given) == 1 else None
    if found is None:
        return _start()
    version, trace_id, parent_id, flags, further = found.groups()
    if (
        version == "ff"
        or (version == "00" and further is not None)
        or trace_id == _NO_TRACE
        or parent_id == _NO_PARENT
    ):
        return _start()
    return TraceContext(
        trace_id, parent_id, os.urandom(8).hex(), bool(int(flags, 16) & 1), _tracestate(headers)
    )


def request_id(headers: Headers, trace: TraceContext) -> str:
    """Return the id of a request in its answer and in the log.

    It is the printable ASCII among the first 128 characters of the header X-Request-Id, or the
    trace id where there is none.
    """
    given = headers.get("x-request-id")
    if given is None:
        return trace.trace_id
    given = given[:_REQUEST_ID_LENGTH]
    if not (given.isascii() and given.isprintable()):
        given = "".join(character for character in given if " " <= character <= "~")
    return given.strip() or trace.trace_id


def _start() -> TraceContext:
    drawn = os.urandom(24).hex()
    return TraceContext(drawn[:32], None, drawn[32:], True, "")


def _tracestate(headers: Headers) -> str:
    given = headers.getlist("tracestate")
    if not given:
        return ""
    joined = ",".join(given)
    if len(joined) > _TRACESTATE_BYTES:
        return ""
    members = [stripped for member in joined.split(",") if (stripped := member.strip(" \t"))]
    keys = {member.partition("=")[0] for member in members}
    if len(keys) < len(members) or len(members) > _TRACESTATE_MEMBERS:
        return ""
    return ",".join(members) if all(map(_MEMBER.fullmatch, members)) else ""
