"""Trace contexts: taken over from the caller, or started anew."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from service.telemetry.trace_context import TraceContext, request_id, trace_context

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"


def headers(*lines: tuple[str, str]) -> Headers:
    return Headers(raw=[(name.encode(), value.encode("latin-1")) for name, value in lines])


def taken(traceparent: str, *tracestate: str) -> TraceContext:
    return trace_context(
        headers(("traceparent", traceparent), *(("tracestate", state) for state in tracestate))
    )


def is_new(trace: TraceContext) -> bool:
    return trace.parent_id is None and trace.trace_id != TRACE and trace.sampled and trace.tracestate == ""


def test_a_callers_trace_is_taken_over_under_a_span_of_its_own() -> None:
    trace = taken(TRACEPARENT, "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE")
    assert trace == TraceContext(
        TRACE, PARENT, trace.span_id, True, "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"
    )
    assert re.fullmatch("[0-9a-f]{16}", trace.span_id)
    assert trace.span_id not in {PARENT, taken(TRACEPARENT).span_id}


@pytest.mark.parametrize(
    ("flags", "sampled"),
    [("00", False), ("01", True), ("02", False), ("03", True), ("fe", False), ("ff", True)],
)
def test_of_the_flags_only_the_last_bit_says_whether_the_caller_records(flags: str, sampled: bool) -> None:
    trace = taken(f"00-{TRACE}-{PARENT}-{flags}")
    assert (trace.trace_id, trace.sampled) == (TRACE, sampled)


def test_without_a_caller_a_trace_starts_here() -> None:
    trace = trace_context(headers(("tracestate", "a=1"), ("accept", "*/*")))
    assert is_new(trace)
    assert re.fullmatch("[0-9a-f]{32}", trace.trace_id)
    assert re.fullmatch("[0-9a-f]{16}", trace.span_id)
    assert len({trace_context(headers()).trace_id for _ in range(100)}) == 100


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        "00",
        TRACEPARENT[:-1],
        TRACEPARENT + "-",
        TRACEPARENT + "-00",
        TRACEPARENT + "0",
        TRACEPARENT.upper(),
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{TRACE}-{PARENT.upper()}-01",
        f"0A-{TRACE}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-0A",
        f"ff-{TRACE}-{PARENT}-01",
        f"ff-{TRACE}-{PARENT}-01-more",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[1:]}g-{PARENT}-01",
        f"00-{TRACE[1:]}-{PARENT}0-01",
        f"00_{TRACE}-{PARENT}-01",
        f"00-{TRACE}_{PARENT}-01",
        f"00-{TRACE}-{PARENT}_01",
        f" {TRACEPARENT}",
        f"{TRACEPARENT} ",
        f"{TRACEPARENT}\n",
        f"00-{TRACE[1:]}\xb2-{PARENT}-01",
        f"01-{TRACE}-{PARENT}-012",
        f"01-{TRACE}-{PARENT}-0",
        f"cc-{'0' * 32}-{PARENT}-01",
        f"{TRACEPARENT},{TRACEPARENT}",
    ],
)
def test_one_that_breaks_the_rules_is_as_none(traceparent: str) -> None:
    assert is_new(taken(traceparent, "a=1"))


@pytest.mark.parametrize("tail", ["", "-", "-what is not known yet"])
def test_of_a_later_version_the_known_part_is_read(tail: str) -> None:
    trace = taken(f"cc-{TRACE}-{PARENT}-01{tail}", "a=1")
    assert trace == TraceContext(TRACE, PARENT, trace.span_id, True, "a=1")


def test_one_that_comes_twice_is_as_none() -> None:
    assert is_new(trace_context(headers(("traceparent", TRACEPARENT), ("traceparent", TRACEPARENT))))


@given(st.text(st.characters(max_codepoint=255), max_size=80))
def test_no_text_is_an_error(text: str) -> None:
    trace = taken(text, text)
    assert int(trace.trace_id, 16) > 0
    assert int(trace.span_id, 16) > 0
    assert request_id(headers(("x-request-id", text)), trace)


@pytest.mark.parametrize(
    ("given_state", "passed_on"),
    [
        (["a=1"], "a=1"),
        (["a=1,b=2", "c=3"], "a=1,b=2,c=3"),
        (["a=1, \tb=2 ,,"], "a=1,b=2"),
        ([""], ""),
        (["tenant@vendor=x y<z>"], "tenant@vendor=x y<z>"),
        (["0tenant@vendor=1"], "0tenant@vendor=1"),
        (["a_-*/=!~"], "a_-*/=!~"),
        (["x=" + "v" * 256], "x=" + "v" * 256),
        (["x=" + "v" * 257], ""),
        (["k" * 257 + "=1"], ""),
        ([",".join(f"k{i}=1" for i in range(32))], ",".join(f"k{i}=1" for i in range(32))),
        ([",".join(f"k{i}=1" for i in range(33))], ""),
        (["a=" + "v" * 250 + ",b=" + "v" * 257], ""),
        (["a=" + "v" * 253 + ",b=" + "v" * 254], "a=" + "v" * 253 + ",b=" + "v" * 254),
        (["a=" + "v" * 253 + ",b=" + "v" * 255], ""),
        (["A=1"], ""),
        (["0=1"], ""),
        (["a@B=1"], ""),
        (["a@0=1"], ""),
        (["a"], ""),
        (["a="], ""),
        (["=1"], ""),
        (["a=1=2"], ""),
        (["a=1,a=2"], ""),
        (["a=\xe4"], ""),
        (["a=\x00"], ""),
    ],
)
def test_what_vendors_pass_along_is_passed_on_or_dropped_alone(
    given_state: list[str], passed_on: str
) -> None:
    trace = taken(TRACEPARENT, *given_state)
    assert (trace.trace_id, trace.tracestate) == (TRACE, passed_on)


def test_what_is_passed_on_has_at_most_512_bytes() -> None:
    longest = "a=" + "v" * 253 + ",b=" + "v" * 254
    assert len(taken(TRACEPARENT, longest).tracestate) == 512


@pytest.mark.parametrize(
    ("sent", "called"),
    [
        ("req-1", "req-1"),
        ("x" * 128, "x" * 128),
        ("x" * 129, "x" * 128),
        ("two words", "two words"),
        ("line\x1b[31m\x00end", "line[31mend"),
        ("gr\xfc\xdfe", "gre"),
        ("\x7f", TRACE),
        ("  ", TRACE),
        ("", TRACE),
    ],
)
def test_a_request_is_called_as_its_caller_says_in_printable_ascii(sent: str, called: str) -> None:
    assert request_id(headers(("x-request-id", sent)), taken(TRACEPARENT)) == called


def test_a_request_without_a_name_is_called_by_its_trace() -> None:
    trace = trace_context(headers())
    assert request_id(headers(), trace) == trace.trace_id
