"""Spans of requests, for whoever collects them; nobody by default."""

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
    """A request that is over.

    Attributes:
        name: what its kind is called: method and route, never the path itself.
        context: its ids, and those of the caller's span.
        started_ns: its arrival, in nanoseconds since 1970.
        ended_ns: its end, likewise.
        stages: where its time went.
        attributes: what else is known of it, by names of OpenTelemetry's semantic conventions where there is one.
        error: why the server failed on it; None where it did not, as where the caller is to blame.
    """

    name: str
    context: TraceContext
    started_ns: int
    ended_ns: int
    stages: tuple[Stage, ...] = ()
    attributes: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    error: str | None = None


class Tracing(Protocol):
    """Where spans go. It never fails a request: trouble is logged."""

    def record(self, span: RequestSpan) -> None:
        """Take a span; it is sent later, if it is among those that are recorded."""

    def close(self) -> None:
        """Send what has not been sent; blocks for a few seconds at most."""


class NoTracing:
    """Keeps nothing."""

    def record(self, span: RequestSpan) -> None:
        """See ``Tracing``."""

    def close(self) -> None:
        """See ``Tracing``."""


def stages_until(ended_ns: int, timings: Timings) -> tuple[Stage, ...]:
    """The stages of an answer: one after the other, the last until the end, those that took no time left out.

    ``ended_ns`` is when the answer was there, in nanoseconds since 1970.
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
