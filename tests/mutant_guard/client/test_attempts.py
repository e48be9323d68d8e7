"""Attempts: what a client tries again and what not, against a scripted server.

No pause takes time.
"""

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from mutant_guard.client import (
    AsyncGuardClient,
    BadRequestError,
    BusyError,
    DeadlineError,
    GuardClient,
    KeyRefusedError,
    NotFoundError,
    RefusedError,
    Retries,
    TimedOutError,
    UnreachableError,
)
from mutant_guard.client.base import seconds_told
from mutant_guard.client.calls import TIMEOUT_HEADER
from service.http import options
from tests.mutant_guard.client.either import Either, HandClock
from tests.support.scripted_server import answer, problem, scripted
from tests.support.service import free_port, silent_listener

_NOT_FOR_EVER = 30
"""Limit in seconds: far more than a busy machine takes, less than a call without a deadline."""

MODELS = answer(200, b"[]")
VERDICT = answer(
    200,
    b'{"request_id":"r","store":{"name":"s","version":"v"},"label":7,"class_name":"7","verdict":"normal",'
    b'"undecided_because":null,"adversarial":false,"mutants":1,"decided_by":"nai","suggested_label":null,'
    b'"suggested_class_name":null,"policy":"calibrated","cached":false,"elapsed_ms":1.5}',
)


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_waited_for(status: int, either: Either, clock: HandClock) -> None:
    with scripted(problem(status, "queue-full", Retry_After="3"), MODELS) as server:
        assert either(server.url, "models") == []
    assert clock.pauses == [3.1]
    assert len(server.requests) == 2


def test_retry_after_may_be_a_date(either: Either, clock: HandClock) -> None:
    at = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)
    with scripted(problem(503, "not-ready", Retry_After=at), MODELS) as server:
        assert either(server.url, "models") == []
    assert clock.pauses == [pytest.approx(20, abs=5)]


@pytest.mark.parametrize("header", [{}, {"Retry_After": "in a while"}, {"Retry_After": "-7"}])
def test_without_it_pauses_double_until_the_attempts_are_used(
    header: dict[str, str], either: Either, clock: HandClock
) -> None:
    with (
        scripted(problem(503, "not-ready", X_Request_Id="abc", **header)) as server,
        pytest.raises(BusyError) as refused,
    ):
        either(server.url, "models")
    assert clock.pauses == [0.1, 0.2, 0.4, 0.8]
    assert len(server.requests) == 5
    error = refused.value
    assert (error.status, error.code, error.detail, error.attempts) == (503, "not-ready", "in words", 5)
    assert (error.request_id, error.retry_after) == ("abc", None)
    assert str(error) == "503 not-ready: in words (5 attempts)"


def test_how_often_is_the_callers_choice(either: Either, clock: HandClock) -> None:
    with scripted(problem(429, "queue-full")) as server, pytest.raises(BusyError):
        either(server.url, "models", client={"retries": Retries(attempts=2)})
    assert len(server.requests) == 2


def test_nobody_sleeps_past_the_deadline(either: Either, clock: HandClock) -> None:
    """A wait that would end after the deadline is not begun, and the error tells how long it is."""
    with (
        scripted(problem(429, "rate-limited", Retry_After="10")) as server,
        pytest.raises(BusyError) as refused,
    ):
        # The time left by the test's clock is the real time of an attempt, so it is long enough for
        # busy machines.
        either(server.url, "classify", b"image", timeout=25)
    assert clock.pauses == [10.1, 10.1]
    assert len(server.requests) == 3
    assert refused.value.retry_after == 10


@pytest.mark.parametrize("wait", ["31", "99999999999999999999", "9" * 400])
def test_a_wait_longer_than_all_retries_may_take_is_not_begun(
    wait: str, either: Either, clock: HandClock
) -> None:
    with scripted(problem(503, "not-ready", Retry_After=wait)) as server, pytest.raises(BusyError):
        either(server.url, "models")
    assert clock.pauses == []
    assert len(server.requests) == 1


def test_a_dropped_connection_is_made_again(either: Either, clock: HandClock) -> None:
    with scripted(None, lambda _: iter([VERDICT[:-20]]), VERDICT) as server:
        assert either(server.url, "classify", b"image").label == 7
    assert len(clock.pauses) == 2
    assert [request.body for request in server.requests] == [b"image"] * 3
    assert server.connections == 3


def test_a_server_that_drops_everything_is_given_up(either: Either, clock: HandClock) -> None:
    with scripted(None) as server, pytest.raises(UnreachableError, match=r"5 attempts.*running there"):
        either(server.url, "models")
    assert len(server.requests) == 5


def test_where_nobody_listens_it_is_tried_as_often(either: Either, clock: HandClock) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(UnreachableError, match=f"{url} cannot be reached"):
        either(url, "models")
    assert clock.pauses == [0.1, 0.2, 0.4, 0.8]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, BadRequestError),
        (401, KeyRefusedError),
        (403, KeyRefusedError),
        (404, NotFoundError),
        (409, RefusedError),
        (413, BadRequestError),
        (415, BadRequestError),
        (422, BadRequestError),
        (500, RefusedError),
        (502, RefusedError),
        (504, DeadlineError),
        (599, RefusedError),
    ],
)
def test_other_answers_are_final(
    status: int, kind: type[RefusedError], either: Either, clock: HandClock
) -> None:
    with (
        scripted(problem(status, "some-code", Retry_After="1"), MODELS) as server,
        pytest.raises(RefusedError) as refused,
    ):
        either(server.url, "models")
    assert type(refused.value) is kind
    assert (refused.value.status, refused.value.code, refused.value.attempts) == (status, "some-code", 1)
    assert clock.pauses == []
    assert len(server.requests) == 1


def test_the_server_is_told_of_the_time_that_is_left(either: Either, clock: HandClock) -> None:
    with scripted(problem(503, "not-ready", Retry_After="10"), VERDICT) as server:
        either(server.url, "classify", b"image", timeout=16)
    told = [request.headers["x-request-timeout-ms"] for request in server.requests]
    assert told == ["15900.000", "5800.000"]


@pytest.mark.parametrize(("left", "told"), [(60.0, 59.9), (1.0, 0.9), (0.5, 0.45), (0.01, 0.009)])
def test_it_is_told_a_tenth_less_or_a_tenth_of_a_second(left: float, told: float) -> None:
    assert seconds_told(left) == pytest.approx(told)


def test_without_a_deadline_of_the_callers_the_server_is_told_none(either: Either) -> None:
    with scripted(VERDICT) as server:
        either(server.url, "classify", b"image")
    assert "x-request-timeout-ms" not in server.requests[0].headers
    assert TIMEOUT_HEADER == options.TIMEOUT_HEADER


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf")])
def test_a_deadline_that_is_none_is_refused(seconds: float, either: Either) -> None:
    with pytest.raises(ValueError, match="timeout is"):
        either("http://127.0.0.1:9", "classify", b"image", timeout=seconds)
    with pytest.raises(ValueError, match="timeout is"):
        either("http://127.0.0.1:9", "models", client={"timeout": seconds})


@pytest.mark.parametrize("name", ["request_id", "traceparent"])
@pytest.mark.parametrize("value", ["a\nb", "№5", "a\x00", " a", "a ", "a\tb"])
def test_an_id_that_is_no_value_of_a_header_is_named(name: str, value: str, either: Either) -> None:
    given: dict[str, Any] = {name: value}
    with scripted(VERDICT) as server:
        with pytest.raises(ValueError, match=f"{name} is "):
            either(server.url, "classify", b"image", **given)
        assert server.requests == []


def test_a_silent_server_is_waited_for_until_the_deadline(either: Either) -> None:
    with silent_listener() as port:
        began = time.monotonic()
        with pytest.raises(TimedOutError, match="not answered within 1 s"):
            either(
                f"http://127.0.0.1:{port}",
                "classify",
                b"image",
                timeout=1,
                client={"clock": time.monotonic},
            )
        assert time.monotonic() - began < _NOT_FOR_EVER


def test_a_dribbling_server_is_not_waited_for_much_longer(either: Either) -> None:
    """Bytes of the body keep coming in time, and the answer never ends."""
    with scripted(lambda _: _dribble()) as server:
        began = time.monotonic()
        with pytest.raises(TimedOutError):
            either(server.url, "classify", b"image", timeout=1, client={"clock": time.monotonic})
        assert time.monotonic() - began < _NOT_FOR_EVER


def test_nor_are_dribbling_headers_by_asyncio(clock: HandClock) -> None:
    """The blocking client cannot bound slow headers, as docs/client.md says."""
    with scripted(lambda _: _dribble(b"HTTP/1.1 200 X\r\nX-Long: ")) as server:
        began = time.monotonic()
        with pytest.raises(TimedOutError):
            Either(True, clock)(server.url, "classify", b"image", timeout=1, client={"clock": time.monotonic})
        assert time.monotonic() - began < _NOT_FOR_EVER


def _dribble(begin: bytes = b"HTTP/1.1 200 X\r\nContent-Length: 100000\r\n\r\n") -> Iterator[bytes]:
    yield begin
    while True:
        yield b"."
        time.sleep(0.02)


def test_a_call_of_asyncio_can_be_cancelled_while_it_waits() -> None:
    async def cancelled() -> None:
        with scripted(problem(503, "not-ready", Retry_After="20")) as server:
            async with AsyncGuardClient(server.url) as client:
                call = asyncio.create_task(client.models())
                while not server.requests:
                    await asyncio.sleep(0.01)
                call.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await call
            assert len(server.requests) == 1

    asyncio.run(cancelled())


def test_connections_are_kept(clock: HandClock) -> None:
    with scripted(MODELS) as server, GuardClient(server.url) as client:
        for _ in range(10):
            client.models()
        assert len(server.requests) == 10
        assert server.connections == 1


def test_probes_are_asked_once(either: Either, clock: HandClock) -> None:
    with scripted(problem(503, "not-ready", Retry_After="1")) as server:
        assert either(server.url, "ready") is False
        assert either(server.url, "live") is False
    assert [request.path for request in server.requests] == ["/readyz", "/livez"]
    with scripted(problem(429, "queue-full")) as server, pytest.raises(BusyError):
        either(server.url, "ready")
    with scripted(None) as server, pytest.raises(UnreachableError):
        either(server.url, "live")
    assert len(server.requests) == 1
    assert clock.pauses == []
