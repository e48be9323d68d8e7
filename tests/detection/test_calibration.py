import numpy as np
import pytest

from detection.calibration import (
    CalibrationError,
    Recording,
    calibrated_policy,
    estimate,
    normal_rate,
    paper_policy,
    replay,
)
from detection.policies import Decision


def recording(images: int, seed: int, *, pool: int = 300, wrong: float = 0.05) -> Recording:
    """Clean images: most hardly ever change label, a few often do, wrongly classified ones in a third of mutants."""
    rng = np.random.default_rng(seed)
    correct = rng.random(images) >= wrong
    rate = np.where(correct, rng.beta(0.3, 8, images), rng.beta(3, 6, images))
    return Recording(rng.random((images, pool)) < rate[:, None], correct)


def test_normal_rate_leaves_wrongly_classified_images_out() -> None:
    part = recording(500, 0)
    rates = part.changes[part.correct].mean(axis=1)
    assert normal_rate(part).mean == pytest.approx(rates.mean())
    assert normal_rate(part).images == int(part.correct.sum())


def test_paper_policy_is_rho_times_the_upper_bound_and_a_tenth_either_side() -> None:
    normal = normal_rate(recording(500, 0))
    policy = paper_policy(normal, 500, rho=1.5, alpha=0.05, beta=0.05, delta_ratio=0.1)
    assert policy.test.p0 == pytest.approx(1.5 * normal.upper * 1.1)
    assert policy.test.p1 == pytest.approx(1.5 * normal.upper * 0.9)


def test_calibrated_policy_keeps_the_requested_rate_on_the_images_it_was_chosen_on() -> None:
    part = recording(800, 1)
    policy = calibrated_policy(part, normal_rate(part), max_false_alarm=0.05, alpha=0.05, beta=0.05, seed=0)
    correct = part.only_correct()
    alarms = (replay(policy, correct, 0).decisions == Decision.ADVERSARIAL).sum()
    assert alarms + 1 <= 0.05 * (len(correct.changes) + 1)


def test_a_lower_request_gives_fewer_alarms_and_a_less_sensitive_test() -> None:
    part, other = recording(2000, 1), recording(2000, 2)
    policies = [
        calibrated_policy(part, normal_rate(part), max_false_alarm=rate, alpha=0.05, beta=0.05, seed=0)
        for rate in (0.1, 0.02)
    ]
    assert policies[1].test.p0 > policies[0].test.p0
    assert policies[1].test.p1 > policies[0].test.p1
    assert (
        estimate(policies[1], other, 0).false_alarms.rate < estimate(policies[0], other, 0).false_alarms.rate
    )


def test_calibrated_is_an_order_of_magnitude_cheaper_than_paper_on_clean_images() -> None:
    part, other = recording(1000, 3, pool=500), recording(1000, 4, pool=500)
    normal = normal_rate(part)
    paper = paper_policy(normal, 500, rho=1, alpha=0.05, beta=0.05, delta_ratio=0.1)
    calibrated = calibrated_policy(part, normal, max_false_alarm=0.05, alpha=0.05, beta=0.05, seed=0)
    assert 10 * estimate(calibrated, other, 0).mean_mutants < estimate(paper, other, 0).mean_mutants


def test_estimates_count_wrongly_classified_images_in_the_baseline_only() -> None:
    changes = np.zeros((40, 100), dtype=np.bool_)
    changes[:4] = True
    correct = np.ones(40, dtype=np.bool_)
    correct[:4] = False
    policy = calibrated_policy(
        recording(200, 0, pool=100),
        normal_rate(recording(200, 0)),
        max_false_alarm=0.05,
        alpha=0.05,
        beta=0.05,
        seed=0,
    )
    found = estimate(policy, Recording(changes, correct), 0)
    assert (found.false_alarms.count, found.false_alarms.trials) == (0, 36)
    assert (found.alarms.count, found.alarms.trials) == (4, 40)


def test_too_few_images_for_the_requested_rate_is_said() -> None:
    part = recording(60, 0)
    with pytest.raises(CalibrationError, match=r"at least 99 correctly classified.*--max-false-alarm"):
        calibrated_policy(part, normal_rate(part), max_false_alarm=0.01, alpha=0.05, beta=0.05, seed=0)


def test_labels_that_never_change_are_said() -> None:
    still = Recording(np.zeros((30, 10), np.bool_), np.ones(30, np.bool_))
    with pytest.raises(CalibrationError, match="raise --rate"):
        normal_rate(still)


def test_labels_that_always_change_are_said() -> None:
    wild = Recording(np.repeat(np.arange(200) % 5 == 0, 50).reshape(200, 50), np.ones(200, np.bool_))
    with pytest.raises(CalibrationError, match="lower --rate"):
        calibrated_policy(wild, normal_rate(wild), max_false_alarm=0.05, alpha=0.05, beta=0.05, seed=0)
    with pytest.raises(CalibrationError, match="lower --rate or --rho"):
        paper_policy(normal_rate(wild), 50, rho=4, alpha=0.05, beta=0.05, delta_ratio=0.1)


def test_one_label_change_alone_never_raises_an_alarm() -> None:
    part = recording(2000, 1)
    policy = calibrated_policy(part, normal_rate(part), max_false_alarm=0.02, alpha=0.05, beta=0.05, seed=0)
    assert not policy.test.is_adversarial(np.array([1]), np.array([1])).any()


def test_replay_is_reproducible_and_depends_on_the_seed() -> None:
    part = recording(300, 5)
    policy = calibrated_policy(part, normal_rate(part), max_false_alarm=0.05, alpha=0.05, beta=0.05, seed=0)
    first, again, other = replay(policy, part, 1), replay(policy, part, 1), replay(policy, part, 2)
    assert first.mutants.tolist() == again.mutants.tolist()
    assert first.mutants.tolist() != other.mutants.tolist()
