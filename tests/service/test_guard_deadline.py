"""Deadlines that the guard keeps: every stage of a request has an end, and load is never cached."""

import asyncio
import threading
from dataclasses import replace
from math import inf, nan
from pathlib import Path

import anyio
import pytest

from mutant_guard.errors import DeadlineError
from mutant_guard.guard import _GRACE_SECONDS
from mutant_guard.runtime.options import OnDeadline
from mutant_guard.wire.verdict import UndecidedBecause, Verdict
from service.guard_service import GuardService
from tests.support.service import Clock, HeldSession, digits, encode, running, said, settings_for

pytestmark = pytest.mark.anyio

BODY, OTHER = (encode(image) for image in digits(2))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return the clock of the deadlines, set by hand. asyncio keeps its own."""
    clock = Clock()
    monkeypatch.setattr("mutant_guard.guard.time", clock)
    monkeypatch.setattr("mutant_guard.runtime.scheduling.scheduler.time", clock)
    monkeypatch.setattr("mutant_guard.runtime.scheduling.batches.time", clock)
    return clock


def metric(guard: GuardService, name: str) -> float:
    return guard.metrics.registry.get_sample_value(name) or 0


async def test_past_the_deadline_a_request_is_undecided_and_the_judgement_is_not_cached(
    digits_store: Path, held_guard_session: HeldSession, clock: Clock
) -> None:
    settings = settings_for(digits_store, batch_rows=1, max_batch_rows=20, cache_seconds=60.0, policy="paper")
    async with running(settings) as guard:
        asked = asyncio.ensure_future(guard.judge(BODY))
        await asyncio.to_thread(held_guard_session.entered.wait, 10)
        clock.now += 31
        held_guard_session.release()
        judgement, cached = said(await asked)
        model = guard.models.default
        assert judgement.mutants == 20
        assert (judgement.verdict, judgement.undecided_because) == (Verdict.UNDECIDED, "deadline")
        assert not cached
        assert metric(guard, "guard_mutants_evaluated_sum") == 20
        assert model.scheduler.in_flight == 0
        whole, cached = said(await guard.judge(BODY))
        assert not cached
        assert (whole.mutants, whole.undecided_because) == (60, "pool_exhausted")
        assert whole.label_changed[:20] == judgement.label_changed
        assert said(await guard.judge(BODY)) == (whole, True)


async def test_what_the_deadline_ended_is_never_put_into_the_cache(
    digits_store: Path, held_guard_session: HeldSession, clock: Clock
) -> None:
    class Never:
        async def get(self, key: str) -> bytes | None:
            return None

        async def put(self, key: str, value: bytes) -> None:
            pytest.fail("a judgement that the deadline ended was put into the cache")

        async def close(self) -> None: ...

    settings = settings_for(digits_store, batch_rows=1, max_batch_rows=20, policy="paper")
    async with running(settings) as guard:
        guard.guard.cache = Never()
        asked = asyncio.ensure_future(guard.judge(BODY))
        await asyncio.to_thread(held_guard_session.entered.wait, 10)
        clock.now += 31
        held_guard_session.release()
        assert (await asked).judgement.undecided_because == UndecidedBecause.DEADLINE


async def test_a_decision_in_time_for_the_last_run_is_no_deadline(
    digits_store: Path, held_guard_session: HeldSession, clock: Clock
) -> None:
    async with running(settings_for(digits_store, cache_seconds=60.0)) as guard:
        asked = asyncio.ensure_future(guard.judge(BODY))
        await asyncio.to_thread(held_guard_session.entered.wait, 10)
        clock.now += 31
        held_guard_session.release()
        judgement = (await asked).judgement
        assert judgement.verdict == Verdict.NORMAL
        assert said(await guard.judge(BODY)) == (judgement, True)


async def test_a_request_that_waits_past_its_deadline_fails(
    digits_store: Path, held_guard_session: HeldSession, clock: Clock
) -> None:
    async with running(settings_for(digits_store)) as guard:
        first = asyncio.ensure_future(guard.judge(BODY))
        await asyncio.to_thread(held_guard_session.entered.wait, 10)
        second = asyncio.ensure_future(guard.judge(OTHER))
        while guard.models.default.scheduler.waiting == 0:
            await asyncio.sleep(0.001)
        clock.now += 31
        held_guard_session.release()
        with pytest.raises(DeadlineError, match="no verdict within 30 s; try again"):
            await second
        assert (await first).judgement.verdict == Verdict.NORMAL
        assert guard.models.default.scheduler.in_flight == 0


async def test_where_the_loop_hangs_the_request_fails_and_its_slot_is_free(
    digits_store: Path, held_guard_session: HeldSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mutant_guard.guard._GRACE_SECONDS", 0.05)
    async with running(settings_for(digits_store, deadline_seconds=0.05, max_in_flight=1)) as guard:
        for _ in range(2):
            with (
                anyio.fail_after(5),
                pytest.raises(DeadlineError, match=r"no verdict within 0\.05 s; try again"),
            ):
                await guard.judge(BODY)
            assert guard.models.default.scheduler.in_flight == 0
        held_guard_session.release()
        guard.guard.options = replace(guard.guard.options, deadline_seconds=10)
        assert (await guard.judge(BODY)).judgement.verdict == Verdict.NORMAL


async def test_the_deadline_counts_the_decoding_as_well(
    digits_store: Path, held_decoders: threading.Event
) -> None:
    async with running(settings_for(digits_store, deadline_seconds=0.05)) as guard:
        with anyio.fail_after(_GRACE_SECONDS), pytest.raises(DeadlineError):
            await guard.judge(BODY)
        held_decoders.set()


async def test_the_deadline_counts_the_cache_as_well(digits_store: Path) -> None:
    class Slow:
        async def get(self, key: str) -> bytes | None:
            await asyncio.sleep(60)
            return None

        async def put(self, key: str, value: bytes) -> None: ...

        async def close(self) -> None: ...

    async with running(settings_for(digits_store, deadline_seconds=0.05)) as guard:
        guard.guard.cache = Slow()
        with anyio.fail_after(_GRACE_SECONDS), pytest.raises(DeadlineError):
            await guard.judge(BODY)


async def test_without_a_deadline_there_is_none(
    digits_store: Path, held_guard_session: HeldSession, clock: Clock
) -> None:
    settings = settings_for(digits_store, batch_rows=1, max_batch_rows=20, policy="paper")
    async with running(settings.model_copy(update={"deadline_seconds": inf})) as guard:
        asked = asyncio.ensure_future(asyncio.to_thread(guard.guard.classify, BODY))
        await asyncio.to_thread(held_guard_session.entered.wait, 10)
        clock.now += 1000
        held_guard_session.release()
        assert (await asked).mutants == 60


@pytest.mark.parametrize(("asked", "kept"), [(5.0, 5), (30.0, 30), (1e9, 30), (None, 30)])
async def test_a_caller_may_want_an_answer_sooner_and_not_later(
    asked: float | None, kept: int, digits_store: Path, held_guard_session: HeldSession, clock: Clock
) -> None:
    """The test ends just after this second, and not just before; sooner is no way round the alarm."""
    for late in (-0.5, 0.5):
        held_guard_session.hold()
        settings = settings_for(digits_store, batch_rows=1, max_batch_rows=20, policy="paper")
        async with running(settings) as guard:
            waiting = asyncio.ensure_future(guard.judge(BODY, seconds=asked))
            await asyncio.to_thread(held_guard_session.entered.wait, 10)
            clock.now += kept + late
            held_guard_session.release()
            if late > 0 and kept < 30:
                with pytest.raises(DeadlineError, match="no verdict within 5 s, which is what the request"):
                    await waiting
                continue
            answer = await waiting
        expected = ("deadline", 20) if late > 0 else ("pool_exhausted", 60)
        assert (answer.judgement.undecided_because, answer.judgement.mutants) == expected


@pytest.mark.parametrize("on_deadline", [None, "undecided", "error"])
async def test_a_timeout_of_the_librarys_caller_is_undecided_unless_told_otherwise(
    on_deadline: OnDeadline | None, digits_store: Path, held_guard_session: HeldSession, clock: Clock
) -> None:
    """That caller is the operator's own code."""
    settings = settings_for(digits_store, batch_rows=1, max_batch_rows=20, policy="paper")
    async with running(settings) as guard:
        waiting = asyncio.ensure_future(guard.guard.aclassify(BODY, timeout=5, on_deadline=on_deadline))
        await asyncio.to_thread(held_guard_session.entered.wait, 10)
        clock.now += 6
        held_guard_session.release()
        if on_deadline == "error":
            with pytest.raises(DeadlineError, match="no verdict within 5 s"):
                await waiting
        else:
            assert (await waiting).undecided_because == UndecidedBecause.DEADLINE


async def test_a_timeout_that_is_no_number_is_refused(digits_store: Path) -> None:
    async with running(settings_for(digits_store)) as guard:
        with pytest.raises(ValueError, match="not NaN"):
            await guard.guard.aclassify(BODY, timeout=nan)


async def test_a_callers_deadline_is_the_one_the_error_names(
    digits_store: Path, held_decoders: threading.Event
) -> None:
    async with running(settings_for(digits_store)) as guard:
        with anyio.fail_after(5), pytest.raises(DeadlineError, match=r"no verdict within 0\.05 s"):
            await guard.judge(BODY, seconds=0.05)
        held_decoders.set()


async def test_where_the_settings_say_so_what_was_counted_by_the_deadline_is_an_error(
    digits_store: Path, held_guard_session: HeldSession, clock: Clock
) -> None:
    settings = settings_for(
        digits_store,
        batch_rows=1,
        max_batch_rows=20,
        policy="paper",
        cache_seconds=60.0,
        on_deadline="error",
    )
    async with running(settings) as guard:
        asked = asyncio.ensure_future(guard.judge(BODY))
        await asyncio.to_thread(held_guard_session.entered.wait, 10)
        clock.now += 31
        held_guard_session.release()
        with pytest.raises(DeadlineError, match="no verdict within 30 s; try again"):
            await asked
        whole, cached = said(await guard.judge(BODY))
        assert (whole.mutants, whole.undecided_because, cached) == (60, "pool_exhausted", False)


async def test_where_deadlines_are_errors_other_undecided_verdicts_are_none(digits_store: Path) -> None:
    async with running(settings_for(digits_store, max_mutants=5, on_deadline="error")) as guard:
        answers = [await guard.judge(encode(image)) for image in digits(10, noise=0.5)]
    assert "max_mutants" in {answer.judgement.undecided_because for answer in answers}
