"""Calibration: three policies from two recordings, and their certificates."""

from dataclasses import dataclass

import numpy as np
import pytest

from mutant_guard.decision.calibration.certification import allowed_alarms
from mutant_guard.decision.calibration.intervals import clopper_pearson
from mutant_guard.decision.calibration.recording import Recording
from mutant_guard.decision.calibration.simulation import run, run_recorded
from mutant_guard.decision.evidence.kinds import UNIT, Doubts
from mutant_guard.decision.sequential.policies import Decision
from mutant_guard.errors import DataError
from mutant_guard.store.calibration_record import (
    CalibrationRecord,
    CalibrationSettings,
    FinitePoolRecord,
    FixedRecord,
    SprtRecord,
)
from mutant_guard.store.doubts_record import StagedRecord
from mutant_guard.store.manifest import RecipeValue
from mutant_store.calibrating.calibrate import calibrate, first_share_of, from_original, shared_out

POOL = 50


def recording(images: int, seed: int, wrong: float = 0.1) -> Recording:
    """Draw images with low label change rates, and wrongly classified ones with high rates."""
    rng = np.random.default_rng(seed)
    correct = rng.random(images) >= wrong
    rates = np.where(correct, rng.beta(0.6, 9, images), rng.beta(3, 4, images))
    return Recording(rng.random((images, POOL)) < rates[:, None], correct)


def doubts_of(images: int, seed: int) -> Recording:
    """Draw doubts of clean images, of each mutant by itself."""
    rng = np.random.default_rng(seed)
    soft = np.rint(np.clip(rng.exponential(0.1, (images, 9)), 0, 1) * UNIT).astype(np.int32)
    return Recording(soft[:, 1:] > UNIT // 2, np.ones(images, np.bool_), soft[:, 1:], soft[:, 0] // 8)


CHOICE, CERTIFICATION = recording(300, 1), recording(310, 2)


@pytest.fixture(scope="module")
def record() -> CalibrationRecord:
    return calibrate(CHOICE, CERTIFICATION, CalibrationSettings(fixed_mutants=30), 5)


def test_the_same_recordings_and_seed_give_the_same_record(record: CalibrationRecord) -> None:
    settings = CalibrationSettings(fixed_mutants=30)
    assert calibrate(CHOICE, CERTIFICATION, settings, 5) == record
    other = calibrate(CHOICE, CERTIFICATION, settings, 6)
    assert other != record
    assert other.normal_label_change_rate == record.normal_label_change_rate


def test_the_settings_and_the_normal_rate_are_recorded(record: CalibrationRecord) -> None:
    assert record.settings == CalibrationSettings(fixed_mutants=30)
    rates = CHOICE.changes[CHOICE.correct].mean(axis=1)
    assert record.normal_label_change_rate is not None
    assert record.normal_label_change_rate.images == len(rates)
    assert record.normal_label_change_rate.mean == pytest.approx(rates.mean())


def test_every_policy_is_recorded_with_its_test(record: CalibrationRecord) -> None:
    assert {name: type(policy.test) for name, policy in record.policies.items()} == {
        "calibrated": FinitePoolRecord,
        "fixed": FixedRecord,
        "paper": SprtRecord,
    }
    fixed = record.policies["fixed"].test
    assert isinstance(fixed, FixedRecord)
    assert (fixed.mutants, fixed.alpha, fixed.beta) == (30, 0.1, 0.1)


@pytest.mark.parametrize("name", ["calibrated", "fixed"])
def test_certificates_hold_for_the_orders_they_were_made_on(record: CalibrationRecord, name: str) -> None:
    policy = record.policies[name]
    certificate = policy.certificate
    assert certificate is not None
    correct = int(CERTIFICATION.correct.sum())
    evidence = CERTIFICATION.shuffled(5)[CERTIFICATION.correct]
    alarms = int((run(policy.policy(name), evidence).decisions == Decision.ADVERSARIAL).sum())
    assert (certificate.max_false_alarm, certificate.confidence, certificate.images) == (0.05, 0.95, correct)
    assert certificate.allowed == allowed_alarms(correct, 0.05, 0.95)
    assert alarms <= certificate.alarms <= certificate.allowed
    # The one-sided 95 % bound is the upper end of the two-sided 90 % interval.
    assert clopper_pearson(certificate.alarms, correct, 0.9).high <= 0.05
    assert (policy.false_alarms.count, policy.false_alarms.trials) == (alarms, correct)


def test_nothing_is_certified_of_the_papers_policy(record: CalibrationRecord) -> None:
    assert record.policies["paper"].certificate is None
    assert record.policies["paper"].error_bounds is None  # 50 mutants are too few for its hypotheses


@pytest.mark.parametrize("name", ["calibrated", "fixed", "paper"])
def test_rates_are_those_of_the_certification_images(record: CalibrationRecord, name: str) -> None:
    policy = record.policies[name]
    decisions = run(policy.policy(name), CERTIFICATION.shuffled(5)).decisions
    adversarial, normal = decisions == Decision.ADVERSARIAL, decisions == Decision.NORMAL
    counts = {
        "alarms": adversarial.sum(),
        "undecided": (~adversarial & ~normal).sum(),
        "alarms_or_undecided": (~normal).sum(),
    }
    for rate, count in counts.items():
        found = getattr(policy, rate)
        assert (found.count, found.trials) == (count, 310)
        assert found.low <= found.rate <= found.high
    assert 0 < policy.mean_mutants <= policy.p99_mutants <= POOL


@pytest.mark.parametrize("name", ["calibrated", "fixed", "paper"])
def test_a_policy_survives_a_round_trip_through_json(record: CalibrationRecord, name: str) -> None:
    policy = record.policies[name].policy(name)
    again = CalibrationRecord.model_validate_json(record.model_dump_json()).policies[name].policy(name)
    assert np.array_equal(again.boundaries.normal_at_most, policy.boundaries.normal_at_most)
    assert np.array_equal(again.boundaries.adversarial_at_least, policy.boundaries.adversarial_at_least)
    assert (again.name, again.pool, again.hypotheses) == (name, POOL, policy.hypotheses)


def test_more_false_alarms_allowed_lower_the_threshold(record: CalibrationRecord) -> None:
    loose = calibrate(CHOICE, CERTIFICATION, CalibrationSettings(max_false_alarm=0.2), 5)

    def threshold(of: CalibrationRecord) -> int:
        test = of.policies["calibrated"].test
        assert isinstance(test, FinitePoolRecord)
        return test.threshold

    assert threshold(loose) < threshold(record)


def test_images_that_need_not_choose_certify_a_low_rate() -> None:
    choice, certification = recording(1200, 3, wrong=0.0), recording(800, 4, wrong=0.0)
    images = {}
    for rate in (0.01, 0.05):
        found = calibrate(choice, certification, CalibrationSettings(max_false_alarm=rate), 5)
        certificate = found.policies["calibrated"].certificate
        assert certificate is not None
        images[rate] = certificate.images
    assert images == {0.01: 1500, 0.05: 800}
    settings = CalibrationSettings(max_false_alarm=0.01)
    kept, more = shared_out(choice, certification, settings)
    assert np.array_equal(kept.changes, choice.changes[:500])
    assert np.array_equal(more.changes, np.concatenate([choice.changes[500:], certification.changes]))
    assert shared_out(kept, certification, settings) == (kept, certification)


def test_a_fixed_size_above_the_pool_is_the_pool() -> None:
    test = calibrate(CHOICE, CERTIFICATION, CalibrationSettings(), 5).policies["fixed"].test
    assert isinstance(test, FixedRecord)
    assert test.mutants == POOL


@pytest.mark.parametrize(
    ("choice", "certification", "settings", "message"),
    [
        (CHOICE, recording(60, 3), CalibrationSettings(), r"needs at least 59 correctly classified images"),
        (CHOICE, CERTIFICATION, CalibrationSettings(max_false_alarm=0.001), r"raise --max-false-alarm"),
        (recording(50, 3, wrong=1.0), CERTIFICATION, CalibrationSettings(), r"only 0 .* give more images"),
        (CHOICE, CERTIFICATION, CalibrationSettings(rho=30), r"gives no test.*lower --rate or --rho"),
        (
            Recording(np.zeros((60, POOL), np.bool_), np.ones(60, np.bool_)),
            CERTIFICATION,
            CalibrationSettings(),
            r"no mutant changes any label of the calibration images; raise --rate",
        ),
        (
            CHOICE,
            Recording(np.ones((100, POOL), np.bool_), np.ones(100, np.bool_)),
            CalibrationSettings(),
            r"labels of normal images change too often .*; lower --rate or raise --max-false-alarm",
        ),
    ],
)
def test_images_that_allow_no_policy_are_the_callers_to_mend(
    choice: Recording, certification: Recording, settings: CalibrationSettings, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        calibrate(choice, certification, settings, 0)


@dataclass(frozen=True)
class Trained:
    """Robust mutant."""

    certified: bool
    recipe: dict[str, RecipeValue]


SMALL, CERTIFIED = Trained(False, {}), Trained(True, {"from_original": False})
LARGE = Trained(False, {"from_original": True})


@pytest.mark.parametrize(
    ("robust", "share", "started"),
    [
        ([SMALL], 0.7, False),
        ([CERTIFIED], 0.9, False),
        ([CERTIFIED, SMALL], 0.7, False),
        ([LARGE], 0.9, True),
        ([LARGE, LARGE], 0.9, True),
        ([LARGE, SMALL], 0.7, False),
    ],
)
def test_a_certified_mutant_and_one_from_the_original_raise_more_of_the_alarms_alone(
    robust: list[Trained], share: float, started: bool
) -> None:
    assert (first_share_of(robust), from_original(robust)) == (share, started)
    choice, certification = doubts_of(2000, 6), doubts_of(2000, 7)
    settings = CalibrationSettings(evidence="soft", max_false_alarm=0.1)
    found = calibrate(choice, certification, settings, 5, Doubts(1.0, 1.0, 0.0), first_share=share)
    test = found.policies["calibrated"].test
    assert isinstance(test, StagedRecord)
    ((_, bound),) = test.alarms
    policy = found.policies["calibrated"].policy("calibrated")
    clean = doubts_of(20_000, 8)
    alarms = run_recorded(policy, clean).decisions == Decision.ADVERSARIAL
    assert clean.doubts is not None
    assert (clean.doubts[alarms, 0] >= bound).mean() == pytest.approx(share, abs=0.06)
