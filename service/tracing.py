"""Spans of requests, for whoever collects them; nobody by default."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from mutant_store.errors import GuardError
from service.answer import Timings
from service.settings import Settings
from service.trace_context import TraceContext

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
        """See :class:`Tracing`."""

    def close(self) -> None:
        """See :class:`Tracing`."""


def load_tracing(settings: Settings) -> Tracing:
    """OpenTelemetry where the settings ask for it, else nothing.

    Raises:
        TracingError: OpenTelemetry is not installed, or its own variables ask for what is not there.
    """
    if not settings.tracing:
        return NoTracing()
    try:
        from service.otel import OpenTelemetry

        return OpenTelemetry()
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("opentelemetry"):
            raise
        raise TracingError(
            "GUARD_TRACING is set and OpenTelemetry is not installed; pip install 'mutant-guard[otel]', or unset it"
        ) from error
    except ValueError as error:
        raise TracingError(f"OpenTelemetry does not start, mend its variables (OTEL_…): {error}") from error


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
