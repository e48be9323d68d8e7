"""The log line of a request."""

import hashlib
import json
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from mutant_guard.runtime.answer import Answer, Timings
from mutant_guard.wire.verdict import UndecidedBecause, Verdict
from service.guard_service import GuardService
from service.settings import Settings
from service.telemetry.access_log import KEY, Sender, log_answer, log_refusal, sender_of
from service.telemetry.logs import configure_logs
from service.telemetry.trace_context import TraceContext
from tests.support.service import digits, encode, running, settings_for

TRACE = TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", "53995c3f42cd8ad8", True, "")
IMAGE = encode(digits(1)[0])
NOBODY = Sender(None, None, None)


@pytest.fixture
def settings(digits_store: Path) -> Settings:
    return settings_for(digits_store, cache_seconds=60.0, allow_guard_off=True)


@pytest.fixture
async def guard(settings: Settings, anyio_backend: str) -> AsyncIterator[GuardService]:
    async with running(settings) as guard:
        yield guard


def logged(answer: Answer, *, key: str | None = "shop") -> dict[str, object]:
    sender = Sender(key, "192.0.2.7", "198.51.100.9")
    with capture_logs() as lines:
        log_answer(answer, TRACE, request_id="req-1", sender=sender, elapsed=0.0123456)
    (line,) = lines
    return dict(line)


@pytest.mark.anyio
async def test_an_answer_is_one_line_with_ids_verdict_and_timings(guard: GuardService) -> None:
    answer = await guard.judge(IMAGE)
    answer = replace(answer, timings=Timings(decode=0.0012344, queue=0.5, mutants=2.0))
    line = logged(answer)
    model = answer.model
    assert re.fullmatch("[0-9a-f]{16}", model.version)
    assert line == {
        "event": "classified",
        "log_level": "info",
        "request_id": "req-1",
        "trace_id": TRACE.trace_id,
        "span_id": TRACE.span_id,
        "store": "digits",
        "version": model.version,
        "label": answer.judgement.label,
        "verdict": answer.judgement.verdict.value,
        "undecided_because": None,
        "mutants": answer.judgement.mutants,
        "decided_by": answer.judgement.decided_by,
        "cached": False,
        "key": "shop",
        "peer": "192.0.2.7",
        "forwarded_for": "198.51.100.9",
        "decode_ms": 1.234,
        "queue_ms": 500.0,
        "mutants_ms": 2000.0,
        "elapsed_ms": 12.346,
        "body_sha256": hashlib.sha256(IMAGE).hexdigest(),
        "status": 200,
    }
    assert line["mutants"] != 0
    assert line["verdict"] == "normal"


@pytest.mark.anyio
async def test_the_second_time_it_is_cached_and_took_no_mutants_time(guard: GuardService) -> None:
    await guard.judge(IMAGE)
    line = logged(await guard.judge(IMAGE), key=None)
    assert (line["cached"], line["key"]) == (True, None)
    assert (line["queue_ms"], line["mutants_ms"]) == (0, 0)


@pytest.mark.anyio
async def test_an_undecided_one_says_why(guard: GuardService) -> None:
    answer = await guard.judge(IMAGE)
    changed = {"verdict": Verdict.UNDECIDED, "undecided_because": UndecidedBecause.MAX_MUTANTS}
    line = logged(replace(answer, judgement=answer.judgement.model_copy(update=changed)))
    assert (line["verdict"], line["undecided_because"]) == ("undecided", "max_mutants")
    assert line["decided_by"] is None


@pytest.mark.anyio
async def test_without_the_guard_there_is_a_label_and_no_verdict(guard: GuardService) -> None:
    answer = await guard.judge(IMAGE, guarded=False)
    line = logged(answer)
    assert line["label"] == answer.judgement.label
    assert (line["verdict"], line["undecided_because"], line["decided_by"]) == (None, None, None)
    assert line["mutants"] == 0


@pytest.mark.anyio
async def test_the_image_is_not_in_the_line(guard: GuardService, capfd: pytest.CaptureFixture[str]) -> None:
    configure_logs("json")
    capfd.readouterr()
    log_answer(await guard.judge(IMAGE), TRACE, request_id="req-1", sender=NOBODY, elapsed=0.1)
    written = capfd.readouterr().err
    assert json.loads(written)["body_sha256"] == hashlib.sha256(IMAGE).hexdigest()
    assert len(written) < 800


def test_a_refusal_is_one_line_with_the_reason() -> None:
    with capture_logs() as lines:
        log_refusal(
            TRACE,
            request_id="req-2",
            sender=NOBODY,
            reason="unsupported-type",
            detail="content type '" + "x" * 10_000,
            elapsed=0.001,
            body_sha256="ab" * 32,
            status=415,
        )
    assert lines == [
        {
            "event": "refused",
            "log_level": "info",
            "request_id": "req-2",
            "trace_id": TRACE.trace_id,
            "span_id": TRACE.span_id,
            "key": None,
            "peer": None,
            "forwarded_for": None,
            "reason": "unsupported-type",
            "detail": ("content type '" + "x" * 10_000)[:500],
            "elapsed_ms": 1.0,
            "body_sha256": "ab" * 32,
            "status": 415,
        }
    ]


@pytest.mark.parametrize(
    ("headers", "forwarded_for"),
    [
        ([], None),
        ([b"198.51.100.9"], "198.51.100.9"),
        ([b"6.6.6.6, 198.51.100.9 "], "198.51.100.9"),
        ([b"6.6.6.6", b"198.51.100.9"], "198.51.100.9"),
        ([b"198.51.100.9,"], None),
        ([b""], None),
        ([b"2001:db8::1%eth0"], "2001:db8::1%eth0"),
        ([b"a\x1b[31m\nb\xe9 c"], "a[31mb c"),
        ([b"1" * 10_000], "1" * 64),
    ],
)
def test_of_a_forwarded_address_the_proxys_own_is_kept_bounded_and_printable(
    headers: list[bytes], forwarded_for: str | None
) -> None:
    given = [(b"x-forwarded-for", value) for value in headers]
    scope = {
        "headers": [(b"host", b"g"), *given, (b"accept", b"*/*")],
        "client": ("192.0.2.7", 4711),
        KEY: "shop",
    }
    assert sender_of(scope) == Sender("shop", "192.0.2.7", forwarded_for)


def test_without_an_address_or_key_there_is_none() -> None:
    assert sender_of({"headers": []}) == sender_of({"headers": [], "client": None}) == NOBODY
