"""Alarms of the last hour, counted by minute and version, over all replicas."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.serving.redis_server import RedisServer
from mutant_guard.runtime.answer import Answer
from mutant_guard.wire.review import StoreAlarms
from service.guard_service import GuardService
from service.telemetry.alarm_history import MINUTES, _z
from tests.support.service import digits, encode, running, settings_for

pytestmark = pytest.mark.anyio


class Clock:
    """Stand-in for the module's ``time``."""

    now = 1_764_058_800.0

    def time(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("service.telemetry.alarm_history.time", clock)
    return clock


async def one_answer(guard: GuardService) -> Answer:
    return await guard.judge(encode(digits(1)[0]))


async def told(guard: GuardService) -> StoreAlarms:
    return await guard.state.alarms.of(guard.models.default, undecided=False)


def count(guard: GuardService, answer: Answer, tested: int, alarms: int) -> None:
    for number in range(tested):
        guard.state.alarms.count(answer, alarm=number < alarms)


async def test_the_last_hour_is_told_minute_by_minute(digits_store: Path, clock: Clock) -> None:
    async with running(settings_for(digits_store)) as guard:
        answer = await one_answer(guard)
        count(guard, answer, 10, 3)
        clock.now += 60 * 5
        count(guard, answer, 4, 1)
        said = await told(guard)
        assert (said.tested, said.alarms, said.rate) == (14, 4, 4 / 14)
        assert len(said.series) == MINUTES == said.minutes
        assert [(one.tested, one.alarms) for one in said.series if one.tested] == [(10, 3), (4, 1)]
        assert (said.series[-1].minute - said.series[0].minute).total_seconds() == 60 * 59
        clock.now += 60 * 55
        assert (await told(guard)).tested == 4
        clock.now += 60 * 5
        said = await told(guard)
        assert (said.tested, said.rate, said.z) == (0, None, None)


async def test_the_distance_from_the_baseline_counts_the_calibration_too(digits_store: Path) -> None:
    async with running(settings_for(digits_store)) as guard:
        count(guard, await one_answer(guard), 400, 100)
        said = await told(guard)
        record = guard.models.default.store.calibration.policies["calibrated"].alarms
        assert (said.baseline, said.calibration_images) == (record.rate, record.trials)
        variance = record.rate * (1 - record.rate) * (1 / 400 + 1 / record.trials)
        assert said.z == pytest.approx((0.25 - record.rate) / variance**0.5, abs=1e-3)


async def test_undecided_is_measured_against_its_own_baseline(digits_store: Path) -> None:
    async with running(settings_for(digits_store, policy="paper", alarm_on_undecided=True)) as guard:
        model = guard.models.default
        record = model.store.calibration.policies["paper"]
        assert record.alarms.rate < record.alarms_or_undecided.rate
        assert (await told(guard)).baseline == record.alarms.rate
        said = await guard.state.alarms.of(model, undecided=True)
        assert said.baseline == record.alarms_or_undecided.rate


@pytest.mark.parametrize(("capped", "undecided"), [(True, True), (True, False), (False, True)])
async def test_there_is_no_distance_from_a_baseline_that_does_not_hold(
    capped: bool, undecided: bool, digits_store: Path
) -> None:
    async with running(settings_for(digits_store, **({"max_mutants": 1} if capped else {}))) as guard:
        count(guard, await one_answer(guard), 400, 100)
        said = await guard.state.alarms.of(guard.models.default, undecided=undecided)
        assert (said.z is None) == (capped and undecided)
        assert said.rate == 0.25


async def test_a_verdict_of_another_version_or_from_the_cache_does_not_count(digits_store: Path) -> None:
    async with running(settings_for(digits_store)) as guard:
        answer = await one_answer(guard)
        guard.answered(replace(answer, cached=True), "r")
        guard.answered(replace(answer, guarded=False), "r")
        assert (await told(guard)).tested == 0
        guard.answered(answer, "r")
        assert (await told(guard)).tested == 1


async def test_what_is_past_is_forgotten(digits_store: Path, clock: Clock) -> None:
    async with running(settings_for(digits_store)) as guard:
        answer = await one_answer(guard)
        for _ in range(3 * MINUTES):
            count(guard, answer, 1, 1)
            clock.now += 60
        assert len(guard.state.alarms._tested) <= MINUTES + 1
        assert len(guard.state.alarms._unsent_tested) <= MINUTES + 1


async def test_replicas_add_up_and_none_counts_twice(
    digits_store: Path, redis_server: RedisServer, quick_looks: None
) -> None:
    redis_server.start()
    settings = settings_for(digits_store, redis_url=redis_server.url, redis_timeout_ms=500.0)
    async with running(settings) as one, running(settings) as other:
        answer = await one_answer(one)
        count(one, answer, 10, 2)
        count(other, await one_answer(other), 5, 4)
        async with asyncio.timeout(10):
            while (await told(one)).tested < 15:
                await asyncio.sleep(0.01)
        for guard in (one, other):
            said = await told(guard)
            assert (said.tested, said.alarms) == (15, 6)
        redis_server.kill()
        count(one, answer, 1, 0)
        own = await told(one)
        assert (own.tested, own.alarms) == (11, 2)


async def test_what_could_not_be_sent_is_sent_later(
    digits_store: Path, redis_server: RedisServer, quick_looks: None
) -> None:
    settings = settings_for(digits_store, redis_url=redis_server.url, redis_timeout_ms=500.0)
    async with running(settings) as one, running(settings) as other:
        count(one, await one_answer(one), 7, 1)
        await asyncio.sleep(0.1)
        redis_server.start()
        async with asyncio.timeout(10):
            while (await told(other)).tested < 7:
                await asyncio.sleep(0.01)
        assert (await told(other)).alarms == 1


@pytest.mark.parametrize("baseline", [0.0, 1.0])
def test_a_baseline_without_variance_is_not_taken_at_its_word(baseline: float) -> None:
    """One alarm among ten is not infinitely far from none among 150."""
    found = _z(1, 10, baseline, 150)
    assert found is not None
    assert abs(found) == pytest.approx(
        abs(0.1 - baseline) / (150 / 151**2 * (1 / 10 + 1 / 150)) ** 0.5, abs=1e-3
    )


async def test_what_was_being_sent_when_the_server_stops_is_not_lost(
    digits_store: Path, running_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_for(digits_store, redis_url=running_redis.url, redis_timeout_ms=1000.0)
    async with running(settings) as guard:
        alarms, link = guard.state.alarms, guard.state._link
        assert link is not None
        link._jobs = []  # which would send meanwhile
        asking, asked = asyncio.Event(), link.call

        async def hangs(*_: object, **__: object) -> None:
            asking.set()
            await asyncio.Event().wait()

        count(guard, await one_answer(guard), 7, 2)
        monkeypatch.setattr(link, "call", hangs)
        sending = asyncio.create_task(alarms.send())
        await asking.wait()
        sending.cancel()
        await asyncio.wait([sending])
        monkeypatch.setattr(link, "call", asked)
        await alarms.send()
        async with running(settings) as other:
            assert (await told(other)).tested == 7


async def test_a_clock_that_is_set_back_leaves_nothing_behind(digits_store: Path, clock: Clock) -> None:
    async with running(settings_for(digits_store)) as guard:
        answer = await one_answer(guard)
        clock.now += 30 * 86_400
        count(guard, answer, 3, 1)
        clock.now -= 30 * 86_400
        count(guard, answer, 4, 1)
        assert (await told(guard)).tested == 4
        assert len(guard.state.alarms._tested) == 1
