"""Spans as a collector receives them."""

import os
import threading
import time
from collections.abc import Sequence

import pytest
from opentelemetry import trace
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from structlog.testing import capture_logs

from service.settings import Settings
from service.telemetry.otel import OpenTelemetry
from service.telemetry.spans import RequestSpan
from service.telemetry.trace_context import TraceContext
from service.telemetry.tracing import load_tracing
from tests.support.collector import collecting
from tests.support.service import free_port

TRACE, PARENT, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", "53995c3f42cd8ad8"
CALLED = TraceContext(TRACE, PARENT, SPAN, True, "rojo=1,congo=2")
ROOT = TraceContext(TRACE, None, SPAN, True, "")
NOW = 1_790_000_000_000_000_000


def request(context: TraceContext, *, error: str | None = None) -> RequestSpan:
    """Return a request of 10 µs with three stages."""
    stages = (
        ("decode", NOW + 1000, NOW + 2000),
        ("queue", NOW + 2000, NOW + 3000),
        ("mutants", NOW + 3000, NOW + 9000),
    )
    attributes: dict[str, str | int | float | bool] = {
        "http.response.status_code": 200,
        "guard.verdict": "normal",
        "guard.cached": False,
    }
    return RequestSpan("POST /classify", context, NOW, NOW + 10_000, stages, attributes, error)


@pytest.fixture(autouse=True)
def _no_variables_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)


def sent(*spans: RequestSpan) -> list[ReadableSpan]:
    """Return the spans that are exported for requests, in the order they ended."""
    exporter = InMemorySpanExporter()
    tracing = OpenTelemetry(exporter)
    for span in spans:
        tracing.record(span)
    tracing.close()
    return list(exporter.get_finished_spans())


def ids(span: ReadableSpan) -> tuple[str, str, str | None]:
    """Return the ids of the trace, the span and its parent, in hex."""
    assert span.context is not None
    parent = span.parent and f"{span.parent.span_id:016x}"
    return f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}", parent


def test_a_request_is_a_span_under_its_callers_with_the_ids_that_are_logged() -> None:
    *_, served = sent(request(CALLED))
    assert served.name == "POST /classify"
    assert served.kind == trace.SpanKind.SERVER
    assert ids(served) == (TRACE, SPAN, PARENT)
    assert served.parent is not None
    assert served.parent.is_remote
    assert served.context is not None
    assert served.context.trace_state.to_header() == "rojo=1,congo=2"
    assert (served.start_time, served.end_time) == (NOW, NOW + 10_000)
    assert dict(served.attributes or {}) == {
        "http.response.status_code": 200,
        "guard.verdict": "normal",
        "guard.cached": False,
    }
    assert served.status.status_code == trace.StatusCode.UNSET


def test_its_stages_are_spans_under_it() -> None:
    *stages, served = sent(request(CALLED))
    assert [(span.name, span.start_time, span.end_time) for span in stages] == [
        ("decode", NOW + 1000, NOW + 2000),
        ("queue", NOW + 2000, NOW + 3000),
        ("mutants", NOW + 3000, NOW + 9000),
    ]
    assert {ids(span)[0] for span in stages} == {TRACE}
    assert {ids(span)[2] for span in stages} == {ids(served)[1]}
    assert len({ids(span)[1] for span in [*stages, served]}) == 4
    assert {span.kind for span in stages} == {trace.SpanKind.INTERNAL}


def test_without_a_caller_it_is_the_root_of_its_trace() -> None:
    *_, served = sent(request(ROOT))
    assert ids(served) == (TRACE, SPAN, None)


def test_a_failure_of_the_server_is_an_error() -> None:
    *_, served = sent(request(CALLED, error="the inference loop failed"))
    assert served.status.status_code == trace.StatusCode.ERROR
    assert served.status.description == "the inference loop failed"


def test_what_the_caller_does_not_record_is_not_recorded() -> None:
    assert sent(request(CALLED._replace(sampled=False))) == []


@pytest.mark.parametrize(
    ("sampler", "argument", "names"),
    [
        ("always_on", "", {"called", "root", "not recorded"}),
        ("parentbased_always_off", "", {"called"}),
        ("parentbased_traceidratio", "0", {"called"}),
        ("parentbased_traceidratio", "1", {"called", "root"}),
        ("always_off", "", set()),
    ],
)
def test_the_sampler_is_the_one_its_variable_names(
    sampler: str, argument: str, names: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", argument)
    found = sent(
        RequestSpan("called", CALLED, NOW, NOW + 1),
        RequestSpan("root", ROOT, NOW, NOW + 1),
        RequestSpan("not recorded", CALLED._replace(sampled=False), NOW, NOW + 1),
    )
    assert {span.name for span in found} == names


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({}, "mutant-guard"),
        ({"OTEL_SERVICE_NAME": "digits-guard"}, "digits-guard"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=from-attributes"}, "from-attributes"),
    ],
)
def test_the_service_is_called_as_its_variable_says(
    variables: dict[str, str], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    *_, served = sent(request(ROOT))
    assert served.resource.attributes["service.name"] == name
    assert served.resource.attributes["telemetry.sdk.language"] == "python"


def test_the_sdk_may_be_disabled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert sent(request(CALLED), request(ROOT)) == []


def test_nothing_is_registered_for_other_libraries() -> None:
    before = trace.get_tracer_provider()
    sent(request(CALLED))
    assert trace.get_tracer_provider() is before


def test_requests_of_several_threads_keep_their_ids() -> None:
    exporter = InMemorySpanExporter()
    tracing = OpenTelemetry(exporter)

    def record(first: int) -> None:
        for number in range(first, first + 100):
            context = TraceContext(f"{number:032x}", None, f"{number:016x}", True, "")
            tracing.record(RequestSpan("r", context, NOW, NOW + 2, (("decode", NOW, NOW + 1),)))

    threads = [threading.Thread(target=record, args=(first,)) for first in (1000, 2000, 3000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tracing.close()
    served = [ids(span) for span in exporter.get_finished_spans() if span.name == "r"]
    assert len(served) == 300
    assert all(int(trace_id, 16) == int(span_id, 16) for trace_id, span_id, _ in served)


def test_trouble_is_logged_once_and_fails_no_request() -> None:
    tracing = OpenTelemetry(InMemorySpanExporter())
    broken = request(CALLED._replace(parent_id="no hex"))
    with capture_logs() as lines:
        tracing.record(broken)
        tracing.record(broken)
    tracing.close()
    assert [(line["log_level"], line["event"]) for line in lines] == [
        ("error", "a span was not recorded, nor may others be")
    ]


def test_after_the_end_it_is_no_error() -> None:
    exporter = InMemorySpanExporter()
    tracing = OpenTelemetry(exporter)
    tracing.close()
    with capture_logs() as lines:
        tracing.record(request(CALLED))
        tracing.close()
    assert (exporter.get_finished_spans(), lines) == ((), [])


def test_a_collector_that_hangs_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.telemetry.otel._CLOSE_SECONDS", 0.2)
    let_go = threading.Event()

    class Hanging(SpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            let_go.wait(30)
            return SpanExportResult.SUCCESS

        def shutdown(self) -> None:
            pass

    tracing = OpenTelemetry(Hanging())
    tracing.record(request(CALLED))
    started = time.monotonic()
    with capture_logs() as lines:
        tracing.close()
    let_go.set()
    assert time.monotonic() - started < 5
    assert [line["event"] for line in lines] == [
        "spans were lost, their collector does not take them in time"
    ]


def values(attributes: Sequence[KeyValue]) -> dict[str, object]:
    return {
        each.key: getattr(each.value, each.value.WhichOneof("value") or "string_value") for each in attributes
    }


def test_a_collector_gets_them_over_http_before_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    with collecting() as collector:
        monkeypatch.setenv("GUARD_TRACING", "true")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=shop")
        monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
        tracing = load_tracing(Settings())
        tracing.record(request(CALLED, error="no"))
        tracing.record(request(CALLED._replace(sampled=False)))
        tracing.close()
    ((path, tenant, message),) = collector.received
    assert (path, tenant) == ("/v1/traces", "shop")
    (resource,) = message.resource_spans
    about = values(resource.resource.attributes)
    assert about["service.name"] == "mutant-guard"
    assert about["deployment.environment.name"] == "test"
    (scope,) = resource.scope_spans
    assert scope.scope.name == "mutant-guard"
    spans = {span.name: span for span in scope.spans}
    assert set(spans) == {"decode", "queue", "mutants", "POST /classify"}
    served = spans.pop("POST /classify")
    assert (served.trace_id.hex(), served.span_id.hex(), served.parent_span_id.hex()) == (TRACE, SPAN, PARENT)
    assert served.kind == trace_pb2.Span.SPAN_KIND_SERVER
    assert (served.start_time_unix_nano, served.end_time_unix_nano) == (NOW, NOW + 10_000)
    assert served.trace_state == "rojo=1,congo=2"
    assert served.status.code == trace_pb2.Status.STATUS_CODE_ERROR
    assert values(served.attributes)["http.response.status_code"] == 200
    assert {span.parent_span_id for span in spans.values()} == {served.span_id}


def test_a_collector_that_is_not_there_does_not_hold_up_the_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    tracing = load_tracing(Settings(tracing=True))
    tracing.record(request(CALLED))
    started = time.monotonic()
    tracing.close()
    assert time.monotonic() - started < 6
    assert any(record.name.startswith("opentelemetry") for record in caplog.records)
