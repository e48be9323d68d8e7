"""Recording into the review queue, which no request waits for."""

import asyncio
import gc
import io
import weakref
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from structlog.testing import capture_logs

from benchmarks.serving.redis_server import RedisServer
from mutant_guard.runtime.answer import Answer
from mutant_guard.wire.verdict import Verdict
from service.guard_service import GuardService
from service.redis.link import RedisDownError
from service.review.item import Found, Item
from service.review.memory import MemoryQueue
from service.review.queue import Wanted
from tests.support.service import digits, encode, running, settings_for

pytestmark = pytest.mark.anyio

CLEAN = digits(60)
NOISY = digits(60, noise=0.6)


async def answered(
    guard: GuardService, images: Iterable[NDArray[np.uint8]], prefix: str = "r"
) -> list[Answer]:
    """Judge images, and report each as answered."""
    answers = []
    for number, image in enumerate(images):
        answer = await guard.judge(encode(image))
        guard.answered(answer, f"{prefix}{number}")
        answers.append(answer)
    return answers


async def queued(guard: GuardService, count: int) -> list[Item]:
    """Wait until the queue has ``count`` entries, and return them."""
    assert guard.state.reviews is not None
    async with asyncio.timeout(10):
        while len(found := await guard.state.reviews.queue.newest(Wanted(limit=1000))) < count:
            await asyncio.sleep(0.01)
    return found


def counted(guard: GuardService, name: str, **labels: str) -> float:
    return guard.metrics.registry.get_sample_value(name, labels) or 0.0


async def test_alarms_and_the_undecided_are_queued_and_nothing_else(digits_store: Path) -> None:
    async with running(settings_for(digits_store, max_mutants=40)) as guard:
        answers = await answered(guard, [*CLEAN, *NOISY])
        expected = [
            (f"r{number}", answer.judgement.verdict)
            for number, answer in enumerate(answers)
            if answer.judgement.verdict != Verdict.NORMAL
        ]
        assert {verdict for _, verdict in expected} == {Verdict.ADVERSARIAL, Verdict.UNDECIDED}
        assert len(expected) < len(answers)
        found = await queued(guard, len(expected))
        assert [(item.found.request_id, item.found.verdict) for item in found[::-1]] == expected
        alarms = sum(verdict == Verdict.ADVERSARIAL for _, verdict in expected)
        assert counted(guard, "guard_review_queued_total", reason="alarm") == alarms
        assert counted(guard, "guard_review_queued_total", reason="undecided") == len(expected) - alarms
        assert counted(guard, "guard_review_lost_total") == 0


async def test_an_entry_says_what_the_answer_said_and_how_the_test_went(digits_store: Path) -> None:
    async with running(settings_for(digits_store)) as guard:
        answers = await answered(guard, NOISY[:20])
        answer = next(a for a in answers if a.judgement.verdict == Verdict.ADVERSARIAL)
        found = (await queued(guard, 1))[-1].found
        judgement = answer.judgement
        assert (found.label, found.mutants, found.decided_by) == (judgement.label, judgement.mutants, "nai")
        assert judgement.suggestion is not None
        assert (found.suggested_label, found.suggested_class_name) == (
            judgement.suggestion[0],
            str(judgement.suggestion[0]),
        )
        assert found.store.version == answer.model.version
        assert found.explanation == answer.explain()
        assert found.adversarial


async def test_pixels_are_kept_only_where_that_is_asked_for(digits_store: Path) -> None:
    for images in (False, True):
        async with running(settings_for(digits_store, review_images=images)) as guard:
            answers = await answered(guard, NOISY[:20])
            answer = next(a for a in answers if a.judgement.verdict == Verdict.ADVERSARIAL)
            item = (await queued(guard, 1))[-1]
            assert item.has_image == images
            assert guard.state.reviews is not None
            kept = await guard.state.reviews.queue.image(item.id)
            if kept is None:
                assert not images
            else:
                with Image.open(io.BytesIO(kept)) as picture:
                    assert (np.asarray(picture)[..., None] == answer.pixels).all()


async def test_the_sample_is_drawn_whatever_the_verdict_and_the_same_every_time(digits_store: Path) -> None:
    drawn = []
    for _ in range(2):
        async with running(settings_for(digits_store, review_sample=0.3)) as guard:
            answers = await answered(guard, CLEAN)
            sampled = [a for a in answers if guard.state.key.draws(0.3, a.pixels_key)]
            alarms = [a for a in answers if a.judgement.verdict != Verdict.NORMAL and a not in sampled]
            assert 6 <= len(sampled) <= 32  # of 60
            found = await queued(guard, len(sampled) + len(alarms))
            assert len(found) == len(sampled) + len(alarms)
            drawn.append({item.found.request_id for item in found if item.found.sampled})
            assert len(drawn[-1]) == len(sampled)
            normal = sum(a.judgement.verdict == Verdict.NORMAL for a in sampled)
            assert counted(guard, "guard_review_queued_total", reason="sample") == normal > 0
    assert drawn[0] == drawn[1]


async def test_the_same_image_from_the_cache_is_counted(digits_store: Path) -> None:
    async with running(settings_for(digits_store, cache_seconds=60.0)) as guard:
        first = await answered(guard, NOISY[:20])
        image = NOISY[next(n for n, a in enumerate(first) if a.judgement.verdict == Verdict.ADVERSARIAL)]
        before = len(await queued(guard, 1))
        for _ in range(3):
            (again,) = await answered(guard, [image])
            assert again.cached
        async with asyncio.timeout(10):
            while max(item.seen for item in await queued(guard, before)) < 4:
                await asyncio.sleep(0.01)


async def test_it_may_be_off(digits_store: Path) -> None:
    async with running(settings_for(digits_store, review_entries=0, review_sample=1.0)) as guard:
        await answered(guard, NOISY[:20])
        assert guard.state.reviews is None


class Down(MemoryQueue):
    """Queue that is unavailable at first."""

    down = True

    async def add(self, key: str, found: Found, image: bytes | None, count: int = 1) -> bool:
        if self.down:
            raise RedisDownError("down")
        return await super().add(key, found, image, count)


async def test_what_cannot_be_queued_now_waits_in_order(digits_store: Path, quick_looks: None) -> None:
    async with running(settings_for(digits_store, review_sample=1.0)) as guard:
        assert guard.state.reviews is not None
        assert isinstance(guard.state.reviews.queue, MemoryQueue)
        guard.state.reviews.queue = queue = Down(guard.state.reviews.queue._capacity)
        await answered(guard, CLEAN[:10])
        await asyncio.sleep(0.1)
        assert await queue.waiting() == 0
        queue.down = False
        found = await queued(guard, 10)
        assert [item.found.request_id for item in found[::-1]] == [f"r{number}" for number in range(10)]


async def test_what_is_too_much_is_counted_as_lost(
    digits_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.review.recorder._MOST_WAITING", 4)
    async with running(settings_for(digits_store, review_sample=1.0)) as guard:
        assert guard.state.reviews is not None
        assert isinstance(guard.state.reviews.queue, MemoryQueue)
        guard.state.reviews.queue = Down(guard.state.reviews.queue._capacity)
        await answered(guard, CLEAN[:10])
        assert counted(guard, "guard_review_lost_total") == 6
    assert counted(guard, "guard_review_lost_total") == 10  # entries that still waited at the end


async def test_who_repeats_one_alarm_takes_no_room_of_the_others(
    digits_store: Path, monkeypatch: pytest.MonkeyPatch, quick_looks: None
) -> None:
    monkeypatch.setattr("service.review.recorder._MOST_WAITING", 10)
    async with running(settings_for(digits_store, review_sample=1.0, cache_seconds=60.0)) as guard:
        assert guard.state.reviews is not None
        assert isinstance(guard.state.reviews.queue, MemoryQueue)
        guard.state.reviews.queue = queue = Down(guard.state.reviews.queue._capacity)
        await answered(guard, [CLEAN[0]] * 200, "same")
        await answered(guard, CLEAN[1:10], "other")
        assert counted(guard, "guard_review_lost_total") == 0
        queue.down = False
        found = await queued(guard, 10)
        await answered(guard, [CLEAN[0]])
        async with asyncio.timeout(10):
            while (await queue.newest(Wanted()))[-1].seen < 201:
                await asyncio.sleep(0.01)
    assert [item.found.request_id for item in found[::-1]] == ["same0", *(f"other{n}" for n in range(9))]
    assert counted(guard, "guard_review_queued_total", reason="sample") + counted(
        guard, "guard_review_queued_total", reason="alarm"
    ) == len(found)


async def test_what_waits_holds_neither_models_nor_pixels_nobody_wants(digits_store: Path) -> None:
    async with running(settings_for(digits_store, review_sample=1.0)) as guard:
        assert guard.state.reviews is not None
        assert isinstance(guard.state.reviews.queue, MemoryQueue)
        guard.state.reviews.queue = Down(guard.state.reviews.queue._capacity)
        (answer,) = await answered(guard, CLEAN[:1])
        pixels = weakref.ref(answer.pixels)
        del answer
        gc.collect()
        assert pixels() is None
        assert len(guard.state.reviews._waiting) == 1


async def test_one_that_comes_again_while_it_is_queued_is_counted(digits_store: Path) -> None:
    async with running(settings_for(digits_store, review_sample=1.0, cache_seconds=60.0)) as guard:
        assert guard.state.reviews is not None
        assert isinstance(guard.state.reviews.queue, MemoryQueue)
        guard.state.reviews.queue = queue = Slow(guard.state.reviews.queue._capacity)
        for _ in range(20):
            await answered(guard, CLEAN[:1])
            await asyncio.sleep(0.005)
    (item,) = await queue.newest(Wanted())
    assert item.seen == 20


async def test_images_that_wait_are_bounded_by_their_size(
    digits_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.review.recorder._MOST_WAITING_BYTES", 3 * 64)
    settings = settings_for(digits_store, review_sample=1.0, review_images=True)
    async with running(settings) as guard:
        assert guard.state.reviews is not None
        assert isinstance(guard.state.reviews.queue, MemoryQueue)
        guard.state.reviews.queue = Down(guard.state.reviews.queue._capacity)
        await answered(guard, CLEAN[:5])
        assert counted(guard, "guard_review_lost_total") == 2


async def test_what_still_waits_at_the_end_is_queued(digits_store: Path) -> None:
    async with running(settings_for(digits_store, review_sample=1.0)) as guard:
        await answered(guard, CLEAN[:20])
        assert guard.state.reviews is not None
        queue = guard.state.reviews.queue
    assert await queue.waiting() == 20
    assert counted(guard, "guard_review_lost_total") == 0


async def test_what_was_queued_while_redis_was_away_is_there_when_it_is_back(
    digits_store: Path, redis_server: RedisServer, quick_looks: None
) -> None:
    redis_server.start()
    settings = settings_for(
        digits_store, review_sample=1.0, redis_url=redis_server.url, redis_timeout_ms=200.0
    )
    async with running(settings) as guard:
        await answered(guard, CLEAN[:10], "before")
        assert len(await queued(guard, 10)) == 10
        redis_server.kill()
        await answered(guard, CLEAN[10:20], "during")
        redis_server.start()  # Redis lost its data
        async with asyncio.timeout(10):
            while guard.metrics.registry.get_sample_value("guard_redis_up") != 1:
                await asyncio.sleep(0.01)
        assert len(await queued(guard, 10)) == 10
        assert counted(guard, "guard_review_lost_total") == 0


class Slow(MemoryQueue):
    """Queue that takes a while for each entry."""

    async def add(self, key: str, found: Found, image: bytes | None, count: int = 1) -> bool:
        await asyncio.sleep(0.03)
        return await super().add(key, found, image, count)


async def test_what_is_just_being_queued_at_the_end_is_queued_once(digits_store: Path) -> None:
    async with running(settings_for(digits_store, review_sample=1.0)) as guard:
        assert guard.state.reviews is not None
        assert isinstance(guard.state.reviews.queue, MemoryQueue)
        guard.state.reviews.queue = queue = Slow(guard.state.reviews.queue._capacity)
        await answered(guard, CLEAN[:5])
        await asyncio.sleep(0.01)
    assert [(item.found.request_id, item.seen) for item in (await queue.newest(Wanted()))[::-1]] == [
        (f"r{number}", 1) for number in range(5)
    ]
    assert counted(guard, "guard_review_lost_total") == 0


class Faulty(MemoryQueue):
    """Queue that refuses the second entry."""

    async def add(self, key: str, found: Found, image: bytes | None, count: int = 1) -> bool:
        if found.request_id == "r1":
            raise ZeroDivisionError("a fault of our own")
        return await super().add(key, found, image, count)


async def test_one_that_cannot_be_queued_does_not_keep_the_others_from_it(digits_store: Path) -> None:
    async with running(settings_for(digits_store, review_sample=1.0)) as guard:
        assert guard.state.reviews is not None
        assert isinstance(guard.state.reviews.queue, MemoryQueue)
        guard.state.reviews.queue = Faulty(guard.state.reviews.queue._capacity)
        with capture_logs() as logs:
            await answered(guard, CLEAN[:3])
            found = await queued(guard, 2)
    assert [item.found.request_id for item in found] == ["r2", "r0"]
    assert counted(guard, "guard_review_lost_total") == 1
    assert "input not queued for review" in {entry["event"] for entry in logs}
