"""Spans for an OpenTelemetry collector, over OTLP/HTTP. Imported only where tracing is asked for.

OpenTelemetry's standard variables configure it: ``OTEL_EXPORTER_OTLP_ENDPOINT``,
``OTEL_EXPORTER_OTLP_HEADERS``, ``OTEL_SERVICE_NAME``, ``OTEL_RESOURCE_ATTRIBUTES``,
``OTEL_TRACES_SAMPLER`` and others.
https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

import os
import threading
from importlib.metadata import version

import structlog
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.environment_variables import (
    OTEL_EXPORTER_OTLP_PROTOCOL,
    OTEL_EXPORTER_OTLP_TRACES_PROTOCOL,
)
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

from service.telemetry.spans import RequestSpan, TracingError
from service.telemetry.trace_context import TraceContext

_NAME = "mutant-guard"
_PROTOCOL = "http/protobuf"
_CLOSE_SECONDS = 3.0


class OpenTelemetry:
    """Tracing that makes a server span for each request, and under it a span for each stage.

    The server span is a child of the caller's span, if there is one. By default a request is
    recorded unless its caller says that the trace is not (``OTEL_TRACES_SAMPLER``). Nothing is
    registered globally, so that no library adds spans of its own.
    """

    def __init__(self, exporter: SpanExporter | None = None) -> None:
        """Set up the export of spans.

        Args:
            exporter: receiver of the spans; by default a collector.

        Raises:
            TracingError: OpenTelemetry's variables ask for a protocol that is not there.
        """
        self._exporter = exporter or _collector()
        self._ids = _GivenIds()
        self._failed = False
        # The SDK would wait once more at exit, for half a minute, for a collector.
        self._provider = TracerProvider(resource=_resource(), id_generator=self._ids, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer(_NAME, version(_NAME))

    def record(self, span: RequestSpan) -> None:
        """Record the spans of a request; the first failure is logged, and no failure is raised."""
        try:
            self._record(span)
        except Exception:
            if not self._failed:  # logged once, since the next request is likely to fail as well
                self._failed = True
                structlog.get_logger().exception("a span was not recorded, nor may others be")

    def close(self) -> None:
        """Send the spans that are left, and wait three seconds at most."""
        closing = threading.Thread(target=self._provider.shutdown, name="otel-close", daemon=True)
        closing.start()
        closing.join(_CLOSE_SECONDS)
        if closing.is_alive():
            structlog.get_logger().warning("spans were lost, their collector does not take them in time")

    def _record(self, span: RequestSpan) -> None:
        self._ids.give(span.context)
        served = self._tracer.start_span(
            span.name,
            context=_under_caller(span.context),
            kind=trace.SpanKind.SERVER,
            attributes=span.attributes,
            start_time=span.started_ns,
        )
        if not served.is_recording():
            return
        inside = trace.set_span_in_context(served, Context())
        for name, started_ns, ended_ns in span.stages:
            self._tracer.start_span(name, context=inside, start_time=started_ns).end(ended_ns)
        if span.error is not None:
            served.set_status(trace.StatusCode.ERROR, span.error)
        served.end(span.ended_ns)


class _GivenIds(RandomIdGenerator):
    """Generator of the ids that the log has named for a server span, otherwise of random ids."""

    def __init__(self) -> None:
        self._given = threading.local()

    def give(self, context: TraceContext) -> None:
        """Set the ids of this thread's next span.

        Args:
            context: place of that span in its trace.
        """
        self._given.trace, self._given.span = context.trace_id, context.span_id

    def generate_trace_id(self) -> int:
        return int(self._given.trace, 16)

    def generate_span_id(self) -> int:
        given, self._given.span = self._given.span, None
        return super().generate_span_id() if given is None else int(given, 16)


def _under_caller(context: TraceContext) -> Context:
    """Return a context in which the caller's span is current; empty where the trace starts here."""
    if context.parent_id is None:
        return Context()
    flags = trace.TraceFlags(trace.TraceFlags.SAMPLED if context.sampled else trace.TraceFlags.DEFAULT)
    caller = trace.SpanContext(
        int(context.trace_id, 16),
        int(context.parent_id, 16),
        is_remote=True,
        trace_flags=flags,
        trace_state=trace.TraceState.from_header([context.tracestate]),
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(caller), Context())


def _resource() -> Resource:
    own = Resource({SERVICE_NAME: _NAME, SERVICE_VERSION: version(_NAME)})
    return Resource.create().merge(own).merge(OTELResourceDetector().detect())


def _collector() -> SpanExporter:
    asked = os.environ.get(OTEL_EXPORTER_OTLP_TRACES_PROTOCOL) or os.environ.get(OTEL_EXPORTER_OTLP_PROTOCOL)
    if asked not in (None, "", _PROTOCOL):
        raise TracingError(
            f"OTEL_EXPORTER_OTLP_PROTOCOL asks for {asked} and spans are sent as {_PROTOCOL} only; set it to that and "
            "the endpoint to the collector's port for it, usually 4318"
        )
    return OTLPSpanExporter()
