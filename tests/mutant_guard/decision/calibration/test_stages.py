"""The sequential test on doubts: its decisions, its cost and its certificate."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mutant_guard.decision.calibration.certification import CalibrationError
from mutant_guard.decision.calibration.recording import Recording
from mutant_guard.decision.calibration.simulation import run, run_recorded
from mutant_guard.decision.calibration.stages import all_mutants_policy, staged_policy
from mutant_guard.decision.evidence.kinds import UNIT, Doubts
from mutant_guard.decision.sequential.policies import Decision, Policy
from mutant_guard.decision.sequential.staged import Alarm, Stage, staged

EVIDENCE = Doubts(1.0, 1.0, 0.5)
POOL = 8


def clean(images: int, seed: int, scale: float = 0.03) -> Recording:
    """Draw doubts of clean images: mostly tiny, some large, those of one image alike."""
    rng = np.random.default_rng(seed)
    own = np.minimum(rng.exponential(scale, images) * rng.lognormal(0, 1, images), 1)
    each = np.clip(own[:, None] * rng.lognormal(0, 0.5, (images, POOL)), 0, 1)
    soft = np.rint(each * UNIT).astype(np.int32)
    return Recording(soft > UNIT // 2, rng.random(images) < 0.97, soft, np.rint(own * UNIT).astype(np.int32))


def naive(
    start: int,
    said: list[int],
    threshold: int,
    stages: tuple[Stage, ...],
    mutants: int,
    first_alone: int | None = None,
) -> tuple[Decision, int]:
    """Apply the documented rule, one mutant at a time."""
    if start >= threshold:
        return Decision.ADVERSARIAL, 0
    total = start
    for n in range(1, mutants + 1):
        total += said[n - 1]
        if total >= threshold or (n == 1 and first_alone is not None and total >= first_alone):
            return Decision.ADVERSARIAL, n
        cleared = any(stage.mutants <= n and total <= min(stage.at_most, threshold - 1) for stage in stages)
        if cleared or total + (mutants - n) * UNIT < threshold:
            return Decision.NORMAL, n
    raise AssertionError("the test never ends undecided")


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("mutants", [None, 5])
def test_it_decides_as_its_rule_says(seed: int, mutants: int | None) -> None:
    rng = np.random.default_rng(seed)
    stages = tuple(Stage(n, int(bound * UNIT)) for n, bound in ((1, 0.05), (2, 0.2), (4, 0.3)))
    threshold = int(rng.uniform(0.1, 3) * UNIT)
    part = clean(200, seed, scale=0.3)
    policy = staged("calibrated", EVIDENCE, threshold, stages, POOL, mutants)
    said, start = part.evidence(policy)
    state = run_recorded(policy, part)
    for image in range(200):
        decision, used = naive(int(start[image]), said[image].tolist(), threshold, stages, mutants or POOL)
        assert (state.decisions[image], state.mutants[image]) == (decision, used)
    assert {Decision.NORMAL, Decision.ADVERSARIAL} == set(state.decisions.tolist())


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("mutants", [None, 5, 1])
@pytest.mark.parametrize("first_alone", [0.02, 0.3, 1.1, 5.0])
def test_the_first_mutant_may_raise_an_alarm_alone(
    seed: int, mutants: int | None, first_alone: float
) -> None:
    rng = np.random.default_rng(seed)
    stages = tuple(Stage(n, int(bound * UNIT)) for n, bound in ((1, 0.05), (2, 0.2), (4, 0.3)))
    threshold, bound = int(rng.uniform(0.1, 3) * UNIT), int(first_alone * UNIT)
    part = clean(200, seed, scale=0.3)
    policy = staged("calibrated", EVIDENCE, threshold, stages, POOL, mutants, (Alarm(1, bound),))
    said, start = part.evidence(policy)
    state = run_recorded(policy, part)
    used = mutants or POOL
    for image in range(200):
        decision, met = naive(int(start[image]), said[image].tolist(), threshold, stages, used, bound)
        assert (state.decisions[image], state.mutants[image]) == (decision, met)
    assert first_alone > 1 or Decision.ADVERSARIAL in state.decisions


def test_an_alarm_before_the_last_mutant_is_one_that_all_mutants_would_raise() -> None:
    part = clean(3000, 1, scale=0.3)
    early = staged("calibrated", EVIDENCE, UNIT, (), POOL)
    said, start = part.evidence(early)
    state = run_recorded(early, part)
    whole = start + said.sum(axis=1, dtype=np.int64)
    assert ((state.decisions == Decision.ADVERSARIAL) == (whole >= UNIT)).all()
    assert state.mutants[state.decisions == Decision.ADVERSARIAL].mean() < POOL


def test_the_original_alone_may_raise_an_alarm_and_never_clears() -> None:
    policy = staged("calibrated", EVIDENCE, UNIT // 4, (Stage(1, UNIT // 8),), POOL)
    said = np.zeros((3, POOL), np.int32)
    state = run(policy, said, np.array([UNIT // 4, UNIT // 4 - 1, 0]))
    assert state.decisions.tolist() == [Decision.ADVERSARIAL, Decision.NORMAL, Decision.NORMAL]
    assert state.mutants[0] == 0
    assert state.mutants[2] == 1


def robust_first(images: int, seed: int) -> Recording:
    """Draw doubts of clean images whose first mutant doubts a tenth of them much more than others do."""
    part, rng = clean(images, seed), np.random.default_rng([seed, 1])
    assert part.doubts is not None
    doubts = part.doubts.copy()
    doubts[:, 0] = np.where(rng.random(images) < 0.1, rng.random(images), 0.01 * rng.random(images)) * UNIT
    return replace(part, doubts=doubts)


@pytest.mark.parametrize("rate", [0.05, 0.1])
def test_nothing_is_cleared_that_the_first_mutant_doubts_as_hardly_any_clean_image(rate: float) -> None:
    found = staged_policy(
        robust_first(2000, 0),
        robust_first(2000, 1),
        EVIDENCE,
        max_false_alarm=rate,
        confidence=0.95,
        clean_mutants=1.5,
        first_share=0.9,
    )
    (alarm,) = found.alarms
    part = robust_first(4000, 2)
    assert part.doubts is not None
    decided = run_recorded(found.policy, part).decisions
    sure = part.doubts[:, 0] >= alarm.at_least
    assert sure.any()
    assert (decided[sure] == Decision.ADVERSARIAL).all()
    assert 0.3 * rate < sure[part.correct].mean() < rate
    assert found.certificate.alarms <= found.certificate.allowed
    assert (decided[part.correct] == Decision.ADVERSARIAL).mean() < 1.3 * rate
    assert run_recorded(found.policy, part).mutants.mean() == pytest.approx(1.5, rel=0.15)

    whole = all_mutants_policy(
        robust_first(2000, 1),
        EVIDENCE,
        mutants=POOL,
        max_false_alarm=rate,
        confidence=0.95,
        choice=robust_first(2000, 0),
        first_share=0.9,
    )
    (alarm,) = whole.alarms
    alone = run_recorded(whole.policy, part).decisions[part.doubts[:, 0] >= alarm.at_least]
    assert alone.size
    assert (alone == Decision.ADVERSARIAL).all()


def partly_hard(images: int, seed: int) -> Recording:
    """Draw doubts of clean images, of which three in ten are doubted by all mutants to some degree."""
    rng = np.random.default_rng(seed)
    hard = rng.random((images, 1)) < 0.3
    each = np.where(hard, rng.random((images, POOL)), 0.01 * rng.random((images, POOL)))
    soft = np.rint(each * UNIT).astype(np.int32)
    return Recording(soft > UNIT // 2, np.ones(images, np.bool_), soft, np.zeros(images, np.int32))


def test_mutants_that_alarms_save_are_spent_on_images_that_go_on() -> None:
    found = staged_policy(
        partly_hard(2000, 0),
        partly_hard(2000, 1),
        EVIDENCE,
        max_false_alarm=0.2,
        confidence=0.95,
        clean_mutants=1.5,
        first_share=0.7,
    )
    assert 1.4 < run_recorded(found.policy, partly_hard(20_000, 2)).mutants.mean() < 1.5


@pytest.mark.parametrize("seed", range(8))
def test_with_an_early_alarm_about_as_many_alarms_are_raised_as_are_allowed(seed: int) -> None:
    found = staged_policy(
        robust_first(500, 2 * seed),
        robust_first(2000, 2 * seed + 1),
        EVIDENCE,
        max_false_alarm=0.01,
        confidence=0.95,
        clean_mutants=1.5,
        first_share=0.9,
    )
    assert 0.8 * found.certificate.allowed <= found.certificate.alarms <= found.certificate.allowed


def test_it_has_no_hypotheses_and_says_so() -> None:
    policy = staged("calibrated", EVIDENCE, UNIT, (), POOL)
    assert policy.error_bounds is None
    for missing in ("hypotheses", "targets"):
        with pytest.raises(ValueError, match="does not count label changes"):
            getattr(policy, missing)


def test_evidence_is_computed_up_to_the_next_stage() -> None:
    policy = staged("calibrated", EVIDENCE, UNIT, tuple(Stage(n, 0) for n in (1, 2, 4)), POOL)
    mutants = np.array([0, 1, 2, 3, 4, 7])
    assert policy.next_stop(np.zeros(6, np.int64), mutants).tolist() == [1, 1, 2, 1, 4, 1]
    capped = policy.up_to(3)
    assert capped.next_stop(np.zeros(3, np.int64), mutants[:3]).tolist() == [1, 1, 1]
    whole = staged("fixed", EVIDENCE, UNIT, (), POOL, 5)
    assert whole.next_stop(np.zeros(1, np.int64), np.zeros(1, np.int64)).tolist() == [5]


def test_under_a_limit_it_may_end_undecided() -> None:
    policy = staged("calibrated", EVIDENCE, UNIT, (), POOL).up_to(2)
    state = run(policy, np.full((1, POOL), UNIT // 10, np.int32))
    assert (state.decisions.tolist(), state.mutants.tolist()) == ([Decision.CAPPED], [2])


def calibrated(seed: int, images: int = 600, **asked: Any) -> Policy:
    options = {"max_false_alarm": 0.05, "confidence": 0.95, "clean_mutants": 1.5} | asked
    choice, certification = clean(images, 2 * seed), clean(images, 2 * seed + 1)
    return staged_policy(choice.reordered(0), certification.reordered(1), EVIDENCE, **options).policy


@pytest.mark.parametrize("budget", [1.25, 1.5, 3.0])
def test_clean_images_take_what_was_asked_for(budget: float) -> None:
    used = run_recorded(calibrated(3, clean_mutants=budget), clean(4000, 99)).mutants
    assert used.mean() == pytest.approx(budget, rel=0.12)
    assert used.mean() > 0.7 * budget


def test_a_budget_of_all_mutants_clears_nothing_early() -> None:
    policy = calibrated(3, clean_mutants=float(POOL))
    whole = staged("calibrated", EVIDENCE, int(policy.boundaries.adversarial_at_least[0]), (), POOL)
    part = clean(2000, 98)
    decided = run_recorded(policy, part).decisions
    assert (decided == run_recorded(whole, part).decisions).mean() > 0.99


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.05, 0.1])
def test_the_certificate_holds_as_often_as_it_says(rate: float) -> None:
    """The true rate of the served test may exceed the certified one in 5 % of 100 calibrations.

    That is 5, and more by chance.
    """
    reference = clean(5_000, 12345).only_correct().reordered(7)
    exceeded = 0
    rates = []
    for seed in range(100):
        policy = calibrated(seed, images=200, max_false_alarm=rate)
        alarms = run_recorded(policy, reference).decisions == Decision.ADVERSARIAL
        rates.append(float(alarms.mean()))
        exceeded += rates[-1] > rate
    assert exceeded <= 13  # P(Binomial(100, 0.05) > 13) < 0.001
    assert np.mean(rates) > rate / 4  # the certificate is not empty: alarms are raised


def test_the_threshold_is_the_lowest_that_is_certified() -> None:
    certification = clean(600, 5).reordered(1)
    found = staged_policy(
        clean(600, 4).reordered(0),
        certification,
        EVIDENCE,
        max_false_alarm=0.05,
        confidence=0.95,
        clean_mutants=1.5,
    )
    correct = certification.only_correct()

    def alarms(threshold: int) -> int:
        policy = staged("calibrated", EVIDENCE, threshold, found.stages, POOL)
        return int((run_recorded(policy, correct).decisions == Decision.ADVERSARIAL).sum())

    assert alarms(found.threshold) == found.certificate.alarms <= found.certificate.allowed
    assert alarms(int(found.threshold * 0.9)) > found.certificate.allowed


def test_all_mutants_take_their_number_unless_decided_before() -> None:
    found = all_mutants_policy(
        clean(600, 5).reordered(1), EVIDENCE, mutants=5, max_false_alarm=0.05, confidence=0.95
    )
    state = run_recorded(found.policy, clean(500, 6))
    normal = state.decisions == Decision.NORMAL
    assert found.policy.mutants == 5
    assert state.mutants[normal].max() == 5
    assert (state.mutants[~normal] <= 5).all()


def doubtful() -> Recording:
    """Return images of which two in five are doubted in full by every mutant."""
    own: NDArray[np.int32] = np.where(np.arange(300) % 5 < 2, UNIT, 0).astype(np.int32)
    soft = np.tile(own[:, None], (1, POOL))
    return Recording(soft > 0, np.ones(300, np.bool_), soft, own)


def test_too_few_images_and_too_much_doubt_are_refused() -> None:
    few = clean(50, 1)
    with pytest.raises(CalibrationError, match="needs at least 59"):
        staged_policy(few, few, EVIDENCE, max_false_alarm=0.05, confidence=0.95, clean_mutants=1.5)
    with pytest.raises(CalibrationError, match="doubt normal images too much"):
        all_mutants_policy(doubtful(), EVIDENCE, mutants=POOL, max_false_alarm=0.05, confidence=0.95)
