"""Parts of the guard's answer for one image besides the judgement."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from mutant_guard.errors import BadImageError, GuardRequiredError
from mutant_guard.store.reader import Store
from mutant_guard.wire.verdict import UndecidedBecause, Verdict
from service.guard_service import GuardService
from tests.support.service import HeldSession, digits, encode, running, said, settings_for

pytestmark = pytest.mark.anyio

IMAGES = digits(12, noise=0.4)
BODY = encode(IMAGES[0])


@pytest.mark.parametrize("inline_ms", [0.0, 1000.0], ids=["threads", "turns"])
async def test_pixels_get_the_answer_of_the_file_that_holds_them(
    digits_store: Path, inline_ms: float
) -> None:
    async with running(settings_for(digits_store, cache_seconds=60.0, inline_ms=inline_ms)) as guard:
        assert guard.models.default.takes_turns is (inline_ms > 0)
        for image in IMAGES:
            first = await guard.judge(encode(image))
            again = await guard.judge(image[:, :, None])
            assert said(again) == (first.judgement, True)
            assert first.body_sha256 == hashlib.sha256(encode(image)).hexdigest()
            assert again.body_sha256 == hashlib.sha256(image.tobytes()).hexdigest()
        with pytest.raises(BadImageError, match=r"uint8 \[8, 8\] and model 'digits' takes"):
            await guard.judge(IMAGES[0])


@pytest.mark.parametrize("inline_ms", [0.0, 1000.0], ids=["threads", "turns"])
async def test_it_says_where_the_time_went(digits_store: Path, inline_ms: float) -> None:
    async with running(settings_for(digits_store, cache_seconds=60.0, inline_ms=inline_ms)) as guard:
        first, kept = await guard.judge(BODY), await guard.judge(BODY)
    for answer in (first, kept):
        assert 0 < answer.timings.decode < 5
        assert answer.model is guard.models.default
        assert answer.guarded
    assert 0 <= first.timings.queue < 5
    assert 0 < first.timings.mutants < 5
    assert (kept.timings.queue, kept.timings.mutants) == (0, 0)


async def test_the_scores_are_the_originals_before_and_after_the_cache(
    digits_store: Path, store: Store
) -> None:
    session, spec = store.session(threads=1), store.manifest.input
    async with running(settings_for(digits_store, cache_seconds=60.0)) as guard:
        for image in IMAGES:
            expected = session.features(spec.tensor(image[None, :, :, None]))[-1][0]
            for cached in (False, True):
                answer = await guard.judge(encode(image))
                assert answer.cached is cached
                assert answer.judgement.scores.dtype == np.float32
                np.testing.assert_allclose(answer.judgement.scores, expected, rtol=1e-5, atol=1e-6)
                assert answer.judgement.scores.argmax() == answer.judgement.label


@pytest.mark.parametrize("inline_ms", [0.0, 1000.0], ids=["threads", "turns"])
async def test_the_bare_label_is_the_originals_and_asks_no_mutant(
    digits_store: Path, inline_ms: float
) -> None:
    settings = settings_for(digits_store, allow_guard_off=True, inline_ms=inline_ms)
    async with running(settings) as guard:
        for image in IMAGES:
            bare = await guard.judge(encode(image), guarded=False)
            guarded = await guard.judge(encode(image))
            assert (bare.guarded, guarded.guarded) == (False, True)
            assert bare.judgement.label == guarded.judgement.label
            assert bare.judgement.confidence == pytest.approx(guarded.judgement.confidence, abs=1e-6)
            assert bare.judgement.mutants == 0
            assert bare.judgement.verdict == Verdict.UNDECIDED
            assert bare.timings.decode > 0
            assert bare.body_sha256 == guarded.body_sha256
        value = guard.metrics.registry.get_sample_value
        assert value("guard_mutants_evaluated_count") == 2 * len(IMAGES)


async def test_with_the_bare_label_nothing_of_the_bank_runs_but_the_original(
    digits_store: Path, held_guard_session: HeldSession
) -> None:
    """The bank is held, and nothing waits for it."""
    async with running(settings_for(digits_store, allow_guard_off=True)) as guard:
        answer = await guard.judge(BODY, guarded=False)
        assert answer.judgement.mutants == 0
        assert not held_guard_session.entered.is_set()
        assert guard.metrics.registry.get_sample_value("guard_batch_rows_count") == 0
        held_guard_session.release()


async def test_a_bare_label_is_neither_kept_nor_taken_for_a_verdict(digits_store: Path) -> None:
    settings = settings_for(digits_store, allow_guard_off=True, cache_seconds=60.0)
    async with running(settings) as guard:
        for _ in range(2):
            assert not (await guard.judge(BODY, guarded=False)).cached
        guarded = await guard.judge(BODY)
        assert not guarded.cached
        assert guarded.judgement.mutants > 0
        assert (await guard.judge(BODY)).cached
        bare = await guard.judge(BODY, guarded=False)
        assert (bare.cached, bare.guarded, bare.judgement.mutants) == (False, False, 0)
        value = guard.metrics.registry.get_sample_value
        assert value("guard_cache_requests_total", {"result": "hit"}) == 1
        assert value("guard_cache_requests_total", {"result": "miss"}) == 1


async def test_unless_it_is_allowed_there_is_no_label_without_a_verdict(digits_store: Path) -> None:
    assert not GuardService(settings_for(digits_store)).settings.allow_guard_off
    async with running(settings_for(digits_store)) as guard:
        with pytest.raises(GuardRequiredError, match="GUARD_ALLOW_GUARD_OFF=true would allow it"):
            await guard.judge(BODY, guarded=False)
        assert guard.metrics.registry.get_sample_value("guard_batch_rows_count") == 0


async def test_a_bare_label_past_no_deadline_is_no_error_where_deadlines_are(digits_store: Path) -> None:
    settings = settings_for(digits_store, allow_guard_off=True, on_deadline="error")
    async with running(settings) as guard:
        bare = await guard.judge(BODY, guarded=False)
        assert bare.judgement.undecided_because == UndecidedBecause.DEADLINE  # not shown to callers
