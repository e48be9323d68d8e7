"""Faults that the application under fuzzing must report."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from benchmarks.fuzz.application import Application
from benchmarks.fuzz.asks import Ask, Request, Route
from mutant_guard.errors import RequestError
from mutant_guard.images.decoding import decode_whole
from tests.support.service import digits, encode

IMAGE = Ask(Route.RAW, 0, encode(digits(1)[0]))


@pytest.fixture
def application(demo_store: Path) -> Iterator[Application]:
    structlog.configure(processors=[], logger_factory=structlog.ReturnLoggerFactory())
    with Application([demo_store], max_pixels=1 << 20, max_body_bytes=1 << 20) as application:
        yield application
    structlog.reset_defaults()


@pytest.fixture
def request_(application: Application) -> Request:
    return IMAGE.request(application.stores)


def decode_with(monkeypatch: pytest.MonkeyPatch, before: Any) -> None:
    def changed(*args: Any) -> Any:
        before()
        return decode_whole(*args)

    monkeypatch.setattr("mutant_guard.runtime.prepared.decode_whole", changed)


def test_an_answer_as_it_should_be_is_no_fault(application: Application, request_: Request) -> None:
    outcome = application.ask(request_)
    assert (outcome.status, outcome.fault, outcome.pixels) == (200, "", 64)
    assert 0 < outcome.held < 10


def test_an_exception_is_one(
    application: Application, request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise ZeroDivisionError("why")

    decode_with(monkeypatch, fail)
    outcome = application.ask(request_)
    assert outcome.fault.startswith("raised ZeroDivisionError: why at test_application.py:")
    assert outcome.status == 500


def test_a_status_that_is_not_documented_is_one(
    application: Application, request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise RequestError("nobody knows this code")

    decode_with(monkeypatch, refuse)
    assert application.ask(request_).fault == "status 500 is not one it should have"


def test_more_pixels_than_the_limit_are_one(application: Application, request_: Request) -> None:
    application.limit = 63
    assert application.ask(request_).fault == "decoded 64 pixels"


def test_time_in_the_event_loop_is_measured(
    application: Application, request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode_with(monkeypatch, lambda: time.sleep(0.05))
    assert application.ask(request_).held >= 0.05


def test_memory_is_measured(
    application: Application, request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    application.ask(request_)
    decode_with(monkeypatch, lambda: bytearray(b"\1") * (64 << 20))
    assert application.ask(request_).memory > 60 << 20
    decode_with(monkeypatch, lambda: None)
    assert application.ask(request_).memory < 60 << 20


def test_a_deadline_that_the_request_sets_itself_is_none(application: Application) -> None:
    pixels = b'{"name":"pixels","shape":[1,8,8,1],"datatype":"UINT8","data":[' + b"0," * 63 + b"0]}"
    body = b'{"parameters":{"timeout":1},"inputs":[' + pixels + b"]}"
    outcome = application.ask(Ask(Route.JSON, 0, body).request(application.stores))
    assert outcome.fault == ""
    assert outcome.status in (200, 504)
