"""The guard without a protocol: from bytes to a judgement, with cache, deadline and alarms."""

import asyncio
import threading
from concurrent.futures import Future
from pathlib import Path

import anyio
import numpy as np
import pytest

from mutant_guard.decision.sequential.policies import Decision
from mutant_guard.errors import BadImageError, NotReadyError, QueueFullError, StoreError
from mutant_guard.runtime.judgement import Judgement
from mutant_guard.runtime.scheduling.outcome import Outcome
from mutant_guard.store.reader import Store
from mutant_guard.wire.verdict import Bounds, Verdict
from service.guard_service import GuardService
from tests.support.demo import build_digits_store, train_digits_model
from tests.support.service import HeldSession, digits, encode, order_of, running, said, settings_for

pytestmark = pytest.mark.anyio


async def test_a_judgement_is_what_bank_order_and_policy_say(digits_store: Path, store: Store) -> None:
    """Label changes are counted here from the labels of all mutants."""
    session, order, policy = store.session(threads=1), order_of(digits_store), store.policy("calibrated")
    test, boundaries = policy.statistic, policy.boundaries
    assert test is not None
    async with running(settings_for(digits_store)) as guard:
        for image in digits(20, noise=0.3):
            answer = await guard.judge(encode(image))
            judgement = answer.judgement
            pixels = image[:, :, None]
            labels = session.labels(store.manifest.input.tensor(pixels[None]), np.arange(61))[0]
            changed = (labels[order.mutants(pixels)] != labels[0])[: judgement.mutants]
            assert not answer.cached
            assert judgement.label == labels[0]
            assert judgement.class_name == str(labels[0])
            assert judgement.label_changed == changed.tolist()
            assert judgement.label_changes == changed.sum()
            met = np.arange(1, len(changed) + 1)
            told = answer.explain()
            assert told.label_changed == judgement.label_changed
            ratios = test.log_ratio(np.cumsum(changed), met)
            assert told.log_ratio is not None
            for shown, ratio in zip(told.log_ratio, ratios.tolist(), strict=True):
                assert shown == (pytest.approx(ratio, abs=1e-6) if np.isfinite(ratio) else None)
            assert (told.adversarial_bound, told.normal_bound) == (test.lower, test.upper)
            assert told.normal_at_most == boundaries.normal_at_most[met].tolist()
            assert told.adversarial_at_least == boundaries.adversarial_at_least[met].tolist()


@pytest.mark.parametrize(
    ("decision", "verdict", "because"),
    [
        (Decision.NORMAL, Verdict.NORMAL, None),
        (Decision.ADVERSARIAL, Verdict.ADVERSARIAL, None),
        (Decision.EXHAUSTED, Verdict.UNDECIDED, "pool_exhausted"),
        (Decision.CAPPED, Verdict.UNDECIDED, "max_mutants"),
        (Decision.CONTINUE, Verdict.UNDECIDED, "deadline"),
    ],
)
async def test_every_decision_has_its_verdict(
    decision: Decision,
    verdict: Verdict,
    because: str | None,
    digits_store: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    labels, said = np.array([5, 3]), np.array([1, 0])
    outcome = Outcome(3, np.arange(10, dtype=np.float32), decision, 2, labels, said, 0, 0.1, 0.2)
    async with running(settings_for(digits_store)) as guard:
        done: Future[Outcome] = Future()
        done.set_result(outcome)
        monkeypatch.setattr(guard.models.default.scheduler, "submit", lambda *_, **__: done)
        judgement = (await guard.judge(encode(digits(1)[0]))).judgement
    assert (judgement.verdict, judgement.undecided_because) == (verdict, because)
    assert (judgement.label, judgement.class_name) == (3, "3")
    assert (judgement.mutants, judgement.label_changes) == (2, 1)
    assert judgement.label_changed == [True, False]
    assert judgement.decided_by == (None if verdict == Verdict.UNDECIDED else "nai")


@pytest.mark.parametrize("on_undecided", [False, True])
async def test_undecided_is_an_alarm_where_the_settings_say_so(
    on_undecided: bool, digits_store: Path, store: Store
) -> None:
    alarms = {}
    for policy in ("calibrated", "paper"):  # paper clears none of these images
        settings = settings_for(digits_store, alarm_on_undecided=on_undecided, policy=policy)
        async with running(settings) as guard:
            for image in (*digits(20), *digits(60, noise=0.6)):
                answer = await guard.judge(encode(image))
                alarms[answer.verdict] = answer.adversarial
    assert alarms == {
        Verdict.ADVERSARIAL: True,
        Verdict.NORMAL: False,
        Verdict.UNDECIDED: on_undecided,
    }
    async with running(settings_for(digits_store, alarm_on_undecided=on_undecided, policy="paper")) as guard:
        record = store.calibration.policies["paper"]
        baseline = record.alarms_or_undecided if on_undecided else record.alarms
        exposed = guard.metrics.registry.get_sample_value("guard_alarm_baseline_ratio", {"store": "digits"})
        assert exposed == baseline.rate
    assert record.alarms_or_undecided.rate > record.alarms.rate  # otherwise the parameter would show nothing


async def test_the_second_time_the_judgement_comes_from_the_cache_and_is_the_same(digits_store: Path) -> None:
    image = digits(1, noise=0.3)[0]
    async with running(settings_for(digits_store, cache_seconds=60.0)) as guard:
        first = await guard.judge(encode(image))
        second = await guard.judge(encode(image, compress_level=1))
        other = await guard.judge(encode(255 - image))
    assert (first.cached, second.cached, other.cached) == (False, True, False)
    assert first.judgement == second.judgement


async def test_without_a_cache_every_judgement_is_computed_and_is_the_same(digits_store: Path) -> None:
    async with running(settings_for(digits_store, cache_seconds=0.0)) as guard:
        first, second = [await guard.judge(encode(digits(1)[0])) for _ in range(2)]
    assert not first.cached
    assert not second.cached
    assert first.judgement == second.judgement


@pytest.mark.parametrize(
    ("change", "shared"),
    [
        ({"policy": "paper"}, False),
        ({"policy": "fixed"}, False),
        ({"order_key": "another key for these tests"}, False),
        ({"max_mutants": 59}, False),
        ({"max_mutants": 60}, True),  # no limit, as there are no more mutants
        ({}, True),
    ],
    ids=str,
)
async def test_a_cached_judgement_is_not_used_under_another_policy_key_or_limit(
    change: dict[str, object], shared: bool, digits_store: Path
) -> None:
    body = encode(digits(1)[0])
    async with (
        running(settings_for(digits_store, cache_seconds=60.0)) as one,
        running(settings_for(digits_store, cache_seconds=60.0, **change)) as other,
    ):
        other.guard.cache = one.guard.cache
        await one.judge(body)
        assert (await other.judge(body)).cached is shared


async def test_a_cached_value_that_cannot_be_read_is_a_miss(digits_store: Path) -> None:
    class Broken:
        async def get(self, key: str) -> bytes | None:
            return b'{"label": "seven"}'

        async def put(self, key: str, value: bytes) -> None:
            assert Judgement.model_validate_json(value).mutants > 0

        async def close(self) -> None: ...

    async with running(settings_for(digits_store, cache_seconds=60.0)) as guard:
        guard.guard.cache = Broken()
        assert not (await guard.judge(encode(digits(1)[0]))).cached


async def test_images_that_wait_for_a_decoder_are_bounded(
    digits_store: Path, held_decoders: threading.Event
) -> None:
    async with running(settings_for(digits_store, max_in_flight=2, decode_threads=1)) as guard:
        bodies = [encode(image) for image in digits(3)]
        answers = [asyncio.ensure_future(guard.judge(body)) for body in bodies]
        done, waiting = await asyncio.wait(answers, timeout=5, return_when=asyncio.FIRST_COMPLETED)
        assert [type(answer.exception()) for answer in done] == [QueueFullError]
        held_decoders.set()
        assert len(await asyncio.gather(*waiting)) == 2


async def test_a_full_queue_refuses_and_a_cached_image_is_still_answered(
    digits_store: Path, held_guard_session: HeldSession
) -> None:
    first, second, third = (encode(image) for image in digits(3))
    settings = settings_for(digits_store, max_in_flight=1, cache_seconds=60.0)
    async with running(settings) as guard, anyio.create_task_group() as tasks:
        held_guard_session.release()
        known = (await guard.judge(first)).judgement
        held_guard_session.hold()
        tasks.start_soon(guard.judge, second)
        await asyncio.to_thread(held_guard_session.entered.wait, 10)
        with pytest.raises(QueueFullError):
            await guard.judge(third)
        assert said(await guard.judge(first)) == (known, True)
        held_guard_session.release()


async def test_a_damaged_image_never_reaches_the_bank(digits_store: Path) -> None:
    async with running(settings_for(digits_store)) as guard:
        with pytest.raises(BadImageError):
            await guard.judge(b"no image")
        assert guard.metrics.registry.get_sample_value("guard_batch_rows_count") == 0


async def test_a_closed_guard_is_not_ready(digits_store: Path) -> None:
    async with running(settings_for(digits_store)) as guard:
        assert guard.ready
        guard.models.default.close()
        assert not guard.ready
        with pytest.raises(NotReadyError):
            await guard.judge(encode(digits(1)[0]))


async def test_the_confidence_is_the_same_whether_the_model_gives_logits_or_probabilities(
    digits_store: Path, tmp_path: Path
) -> None:
    model = train_digits_model(tmp_path / "softmax.onnx", softmax=True)
    assert build_digits_store(model, tmp_path / "softmax").manifest.output_kind == "probabilities"
    async with (
        running(settings_for(digits_store)) as logits,
        running(settings_for(tmp_path / "softmax")) as probabilities,
    ):
        for image in digits(10, noise=0.4):
            one, other = [(await guard.judge(encode(image))).judgement for guard in (logits, probabilities)]
            assert one.label == other.label
            assert one.confidence == pytest.approx(other.confidence, abs=1e-5)
            assert 0.1 < one.confidence <= 1


@pytest.mark.parametrize("limit", [1, 10, 59, 60, 1000, None])
@pytest.mark.parametrize("name", ["calibrated", "fixed", "paper"])
async def test_the_policy_and_its_error_bounds_are_those_under_the_limit_on_mutants(
    name: str, limit: int | None, digits_store: Path, store: Store
) -> None:
    model = GuardService(settings_for(digits_store, policy=name, max_mutants=limit)).models.default
    assert model.policy.mutants == min(limit or 60, 60)
    assert model.policy.capped is (model.policy.mutants < 60)
    bounds = store.policy(name).up_to(model.policy.mutants).error_bounds
    assert model.error_bounds == (Bounds(**bounds._asdict()) if bounds else None)


async def test_replicas_that_share_a_key_file_give_the_same_answers(
    digits_store: Path, tmp_path: Path
) -> None:
    """The key is made at the first start and kept."""

    async def judged(file: Path) -> list[Judgement]:
        settings = settings_for(digits_store, order_key=None, order_key_file=file)
        async with running(settings) as guard:
            return [(await guard.judge(encode(image))).judgement for image in digits(20, noise=0.4)]

    first = await judged(tmp_path / "kept" / "order.key")
    assert (tmp_path / "kept" / "order.key").is_file()
    assert await judged(tmp_path / "kept" / "order.key") == first
    assert await judged(tmp_path / "other" / "order.key") != first


async def test_a_policy_the_store_has_not_is_refused_by_name(digits_store: Path) -> None:
    with pytest.raises(StoreError, match="has no policy 'bayes'; it has calibrated, fixed, paper"):
        GuardService(settings_for(digits_store, policy="bayes"))


async def test_without_an_event_loop_the_judgement_is_the_same(digits_store: Path) -> None:
    async with running(settings_for(digits_store)) as guard:
        body = encode(digits(1, noise=0.3)[0])
        answer = await asyncio.to_thread(guard.guard.classify, body)
        again = await guard.judge(body)
    assert said(answer) == said(again) == (again.judgement, False)
