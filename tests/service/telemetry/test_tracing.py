"""Tracing that the settings give, and the stages of an answer on it."""

import sys

import pytest

from mutant_guard.runtime.answer import Timings
from service.settings import Settings
from service.telemetry.spans import NoTracing, RequestSpan, TracingError, stages_until
from service.telemetry.trace_context import TraceContext
from service.telemetry.tracing import load_tracing

CONTEXT = TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", None, "53995c3f42cd8ad8", True, "")
MILLISECOND = 1_000_000


def without_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the SDK of OpenTelemetry, as if the extra were not installed.

    FastAPI brings the interface alone.
    """
    for name in [
        name for name in sys.modules if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter"))
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "service.telemetry.otel", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter", None)


def test_nothing_is_traced_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    without_sdk(monkeypatch)
    tracing = load_tracing(Settings())
    assert isinstance(tracing, NoTracing)
    tracing.record(RequestSpan("POST /classify", CONTEXT, 1, 2))
    tracing.close()


def test_without_the_extra_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    without_sdk(monkeypatch)
    monkeypatch.setenv("GUARD_TRACING", "true")
    with pytest.raises(TracingError, match=r"pip install 'mutant-guard\[otel\]'"):
        load_tracing(Settings())


def test_a_module_of_our_own_that_is_missing_is_not_taken_for_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "service.telemetry.otel", None)
    with pytest.raises(ModuleNotFoundError):
        load_tracing(Settings(tracing=True))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "asks for grpc .*4318"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json", "asks for http/json"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "100000", "OTEL_….*max_export_batch_size"),
    ],
)
def test_variables_that_cannot_be_followed_end_the_start(
    name: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(TracingError, match=message):
        load_tracing(Settings(tracing=True))


@pytest.mark.parametrize(
    ("timings", "stages"),
    [
        (
            Timings(decode=0.001, queue=0.002, mutants=0.003),
            (("decode", 94, 95), ("queue", 95, 97), ("mutants", 97, 100)),
        ),
        (Timings(decode=0.001, mutants=0.003), (("decode", 96, 97), ("mutants", 97, 100))),
        (Timings(decode=0.001), (("decode", 99, 100),)),
        (Timings(decode=0.0), ()),
    ],
)
def test_stages_follow_each_other_until_the_end(
    timings: Timings, stages: tuple[tuple[str, int, int], ...]
) -> None:
    found = stages_until(100 * MILLISECOND, timings)
    assert found == tuple((name, start * MILLISECOND, end * MILLISECOND) for name, start, end in stages)
