"""Spans of requests, and the interface of their receivers; by default nothing is recorded."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from mutant_guard.errors import GuardError
from mutant_guard.runtime.answer import Timings
from service.telemetry.trace_context import TraceContext

Stage = tuple[str, int, int]
"""Name, start and end in nanoseconds since 1970."""


class TracingError(GuardError):
    """Tracing was asked for and cannot be had."""


@dataclass(frozen=True, slots=True)
class RequestSpan:
    """Span of a finished request.

    Attributes:
        name: method and route of the request, never the path itself.
        context: ids of the span, and those of the caller's span.
        started_ns: arrival of the request, in nanoseconds since 1970.
        ended_ns: end of the request, in nanoseconds since 1970.
        stages: stages that its time was spent in.
        attributes: further facts, named by OpenTelemetry's semantic conventions where these have a
            name.
        error: reason the server failed on the request; None where it did not, also where the caller
            is at fault.
    """

    name: str
    context: TraceContext
    started_ns: int
    ended_ns: int
    stages: tuple[Stage, ...] = ()
    attributes: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    error: str | None = None


class Tracing(Protocol):
    """Receiver of spans. It never fails a request: its errors are logged."""

    def record(self, span: RequestSpan) -> None:
        """Take a span; it is sent later, if it is among those that are recorded."""

    def close(self) -> None:
        """Send the spans that are left; blocks for a few seconds at most."""


class NoTracing:
    """Receiver that keeps nothing."""

    def record(self, span: RequestSpan) -> None:
        """Drop the span."""

    def close(self) -> None:
        """Return at once, as there is nothing to send."""


def stages_until(ended_ns: int, timings: Timings) -> tuple[Stage, ...]:
    """Return the stages of an answer, one after the other, without those that took no time.

    Args:
        ended_ns: end of the last stage, when the answer was there, in nanoseconds since 1970.
        timings: seconds that each stage took.
    """
    stages: list[Stage] = []
    for name, seconds in (
        ("mutants", timings.mutants),
        ("queue", timings.queue),
        ("decode", timings.decode),
    ):
        if seconds > 0:
            started_ns = ended_ns - round(seconds * 1e9)
            stages.append((name, started_ns, ended_ns))
            ended_ns = started_ns
    return tuple(reversed(stages))
