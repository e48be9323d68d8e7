from collections.abc import Callable
from functools import cache, partial

import numpy as np
import pytest
from scipy import stats

from mutant_guard.decision.calibration.calibration import (
    CalibratedPolicy,
    CertifiedPolicy,
    CleanParts,
    calibrated_policy,
    fixed_policy,
    normal_rate,
    paper_test,
)
from mutant_guard.decision.calibration.certification import CalibrationError, allowed_alarms
from mutant_guard.decision.calibration.recording import Recording
from mutant_guard.decision.calibration.shape import CleanCounts, Shape, choose_shape
from mutant_guard.decision.calibration.simulation import mutants_used, run
from mutant_guard.decision.sequential.builders import fixed, sequential
from mutant_guard.decision.sequential.characteristic import over_pool
from mutant_guard.decision.sequential.finite_pool import FinitePoolSprt
from mutant_guard.decision.sequential.policies import Decision, ErrorBounds
from tests.mutant_guard.decision.clean_images import clean_parts, recording, with_counts

TARGETS = ErrorBounds(0.05, 0.05)


@cache
def parts(pool: int = 60, images: int = 600) -> CleanParts:
    return clean_parts(images, 1, pool=pool)


@cache
def calibrated(
    rate: float = 0.05, clean_mutants: float = 10, pool: int = 60, images: int = 600
) -> CalibratedPolicy:
    return calibrate(parts(pool, images), rate, clean_mutants)


def calibrate(clean: CleanParts, rate: float = 0.05, clean_mutants: float = 10) -> CalibratedPolicy:
    return calibrated_policy(
        clean, max_false_alarm=rate, confidence=0.95, max_miss=0.05, clean_mutants=clean_mutants
    )


def fix(clean: CleanParts, mutants: int, rate: float = 0.05) -> CertifiedPolicy:
    return fixed_policy(clean, mutants=mutants, max_false_alarm=rate, confidence=0.95, targets=TARGETS)


def cost(found: CertifiedPolicy, part: Recording) -> float:
    """Return the expected number of mutants for an image."""
    used = mutants_used(found.policy, part.counts)
    return float(used @ np.arange(used.size))


def all_at_once(changes: list[int], pool: int = 20) -> CleanParts:
    """Make both parts of images with these label change counts."""
    part = with_counts(np.array(changes), pool)
    return CleanParts(part, part, part.shuffled(0))


def test_normal_rate_leaves_wrongly_classified_images_out() -> None:
    part = recording(500, 0)
    rates = part.changes[part.correct].mean(axis=1)
    found = normal_rate(part, 0.9)
    assert found.mean == pytest.approx(rates.mean())
    assert (found.images, found.confidence) == (int(part.correct.sum()), 0.9)


@pytest.mark.parametrize("right", [0, 1])
def test_too_few_rightly_classified_images_for_a_mean_are_said(right: int) -> None:
    part = with_counts(np.full(20, 3), 10, np.arange(20) < right)
    with pytest.raises(CalibrationError, match=f"only {right} .* give more images"):
        normal_rate(part)


def test_labels_that_never_change_are_said() -> None:
    with pytest.raises(CalibrationError, match="raise --rate"):
        normal_rate(with_counts(np.zeros(30, np.int64), 10))


@pytest.mark.parametrize(("rho", "ratio"), [(1.5, 0.1), (1, 0.25)])
def test_the_papers_test_is_rho_times_the_upper_bound_and_delta_either_side(rho: float, ratio: float) -> None:
    normal = normal_rate(recording(500, 0))
    test = paper_test(normal, rho=rho, alpha=0.04, beta=0.03, delta_ratio=ratio)
    assert test.p0 == pytest.approx(rho * normal.upper * (1 + ratio))
    assert test.p1 == pytest.approx(rho * normal.upper * (1 - ratio))
    assert (test.alpha, test.beta) == (0.04, 0.03)


@pytest.mark.parametrize(("rho", "ratio"), [(40, 0.1), (1, 1.0), (1, 0.0), (1, -0.1)])
def test_hypotheses_that_are_no_rates_are_said(rho: float, ratio: float) -> None:
    normal = normal_rate(recording(500, 0))
    with pytest.raises(CalibrationError, match="lower --rate or --rho, or choose a delta ratio between"):
        paper_test(normal, rho=rho, alpha=0.05, beta=0.05, delta_ratio=ratio)


def test_parts_count_rightly_classified_images_only() -> None:
    correct = np.arange(30) % 3 > 0
    part = with_counts(np.where(correct, 0, 12), 12, correct)
    found = CleanParts(part, part, part.shuffled(0))
    test = FinitePoolSprt.between(12, 1, 6, 0.05, 0.05)
    assert (found.images, found.false_alarms(test.boundaries())) == (20, 0)


@pytest.mark.parametrize(("rate", "clean_mutants"), [(0.1, 10), (0.05, 10), (0.05, 4), (0.02, 10)])
def test_certified_alarms_are_those_of_a_replay_and_of_the_full_pool(
    rate: float, clean_mutants: float
) -> None:
    found, part = calibrated(rate, clean_mutants), parts().certification
    certificate = found.certificate
    decisions = run(found.policy, parts().evidence[part.correct]).decisions
    served = int((decisions == Decision.ADVERSARIAL).sum())
    of_pool = int((part.only_correct().counts >= found.threshold).sum())
    assert certificate.alarms == max(served, of_pool) <= certificate.allowed
    assert certificate.allowed == allowed_alarms(certificate.images, rate, 0.95)
    assert certificate.images == part.correct.sum() == len(decisions)
    assert (certificate.max_false_alarm, certificate.confidence) == (rate, 0.95)
    assert stats.beta.ppf(0.95, certificate.alarms + 1, certificate.images - certificate.alarms) <= rate


@pytest.mark.parametrize("rate", [0.1, 0.05, 0.02])
def test_its_error_probabilities_are_exactly_kept_and_it_never_ends_undecided(rate: float) -> None:
    found = calibrated(rate)
    policy, (low, high) = found.policy, found.policy.hypotheses
    assert (policy.name, policy.pool, policy.mutants, policy.capped) == ("calibrated", 60, 60, False)
    assert low < found.threshold <= high
    result = over_pool(policy.boundaries, np.arange(61), 60)
    assert result.undecided.tolist() == [0.0] * 61
    assert result.normal[high] <= 0.05 == policy.targets.alpha
    assert result.adversarial[low] <= policy.targets.beta
    assert policy.error_bounds == policy.targets


@pytest.mark.parametrize("clean_mutants", [3, 6, 12, 25])
def test_clean_images_stay_within_the_budget(clean_mutants: float) -> None:
    """Both parts are the same images, so the certified threshold is the shape's own."""
    part = recording(600, 1, pool=60)
    found = calibrate(CleanParts(part, part, part.shuffled(1)), clean_mutants=clean_mutants)
    allowed = found.certificate.allowed
    counts = part.only_correct().counts
    assert (counts >= found.threshold).sum() <= allowed
    assert cost(found, part) <= clean_mutants + 1e-9


def test_a_lower_request_gives_a_higher_threshold() -> None:
    thresholds = [calibrated(rate).threshold for rate in (0.1, 0.05, 0.02)]
    assert thresholds == sorted(set(thresholds))


def test_a_lower_request_gives_fewer_alarms_on_other_images() -> None:
    counts = recording(2000, 77, pool=60).only_correct().counts
    alarms = [
        over_pool(calibrated(rate).policy.boundaries, counts, 60).adversarial.mean()
        for rate in (0.1, 0.05, 0.02)
    ]
    assert alarms[0] > alarms[1] > alarms[2]


def test_more_mutants_bring_the_upper_hypothesis_closer_to_the_threshold() -> None:
    gaps = []
    for clean_mutants in (4, 10, 20):
        found = calibrated(0.05, clean_mutants)
        gaps.append(found.policy.hypotheses.high / found.threshold)
    assert gaps[0] > gaps[1] > gaps[2] >= 1


def test_it_is_an_order_of_magnitude_cheaper_than_the_paper_on_clean_images() -> None:
    clean = parts(pool=250, images=400)
    test = paper_test(normal_rate(clean.choice), rho=1, alpha=0.05, beta=0.05, delta_ratio=0.1)
    used = mutants_used(sequential("paper", test, 250), clean.certification.counts)
    found = calibrate(clean)
    assert 10 * cost(found, clean.certification) < used @ np.arange(used.size)


def test_too_few_images_are_said() -> None:
    part = recording(58, 0, pool=20, wrong=0)
    for call in (calibrate, lambda clean: fix(clean, 10)):
        with pytest.raises(
            CalibrationError, match=r"at least 59 correctly .* there are 58; .*--max-false-alarm"
        ):
            call(CleanParts(recording(300, 1, pool=20), part, part.shuffled(0)))


def test_wrongly_classified_images_are_none_to_certify_on() -> None:
    correct = np.arange(200) < 58
    part = with_counts(np.where(correct, 0, 9), 20, correct)
    with pytest.raises(CalibrationError, match=r"at least 59 correctly .* there are 58"):
        calibrate(CleanParts(part, part, part.shuffled(0)))


@pytest.mark.parametrize("share", [0.1, 1.0])
def test_labels_that_always_change_are_said(share: float) -> None:
    wild = all_at_once([20 if image < 200 * share else 0 for image in range(200)])
    for call in (calibrate, lambda clean: fix(clean, 10)):
        with pytest.raises(
            CalibrationError, match=r"change too often.*lower --rate or raise --max-false-alarm"
        ):
            call(wild)


def test_labels_that_always_change_in_the_certification_part_only_are_said() -> None:
    wild = with_counts(np.full(200, 20), 20)
    with pytest.raises(
        CalibrationError, match=r"more than 4 of 200 .*lower --rate or raise --max-false-alarm"
    ):
        calibrate(CleanParts(with_counts(np.zeros(200, np.int64), 20), wild, wild.shuffled(0)))


@pytest.mark.parametrize("share", [0.001, 0.0])
def test_labels_that_hardly_ever_change_still_give_a_policy_within_the_budget(share: float) -> None:
    rng = np.random.default_rng(0)
    choice, certification = (
        Recording(rng.random((300, 100)) < share, np.ones(300, np.bool_)) for _ in range(2)
    )
    found = calibrate(CleanParts(choice, certification, certification.shuffled(0)), clean_mutants=20)
    assert found.threshold >= 1
    assert found.certificate.alarms <= found.certificate.allowed
    assert cost(found, choice) <= 20
    result = over_pool(found.policy.boundaries, np.arange(101), 100)
    assert result.undecided.tolist() == [0.0] * 101
    assert result.normal[found.policy.hypotheses.high :].max() <= 0.05


@pytest.mark.parametrize("pool", [1, 2, 5])
def test_tiny_pools_give_a_policy(pool: int) -> None:
    found = calibrated(0.1, 10, pool, 300)
    assert 1 <= found.threshold <= pool
    assert found.policy.pool == found.policy.mutants == pool
    assert found.certificate.alarms <= found.certificate.allowed
    assert found.policy.error_bounds == found.policy.targets
    assert over_pool(found.policy.boundaries, np.arange(pool + 1), pool).undecided.max() == 0


def test_images_worse_than_those_of_the_choice_raise_the_threshold() -> None:
    """The threshold rises to more than twice that of the shape, where few thresholds are tried."""
    certification = recording(400, 3, pool=100)
    choice = with_counts(certification.counts // 4, 100)
    clean = CleanParts(choice, certification, certification.shuffled(0))
    found = calibrate(clean)
    assert found.threshold > 2 * calibrate(CleanParts(choice, choice, choice.shuffled(0))).threshold
    assert (
        clean.false_alarms(found.test.boundaries()) <= found.certificate.alarms <= found.certificate.allowed
    )


@pytest.mark.parametrize(("ties", "least"), [(4, 3), (5, 6)])
def test_tied_images_are_certified_all_or_none(ties: int, least: int) -> None:
    """Certification on 200 images allows 4 alarms: 4 tied images may alarm, 5 may not."""
    clean = all_at_once([5] * ties + [2] * (200 - ties))
    whole, served = fix(clean, 20), calibrate(clean, clean_mutants=20)
    assert (whole.threshold, whole.certificate.alarms) == (least, 4 if ties == 4 else 0)
    assert served.threshold >= least
    assert served.certificate.alarms <= served.certificate.allowed == 4


@pytest.mark.parametrize(
    ("mutants", "rate"), [(1, 0.2), (10, 0.2), (10, 0.05), (30, 0.05), (60, 0.05), (500, 0.05)]
)
def test_a_fixed_number_of_mutants_has_its_threshold_certified_too(mutants: int, rate: float) -> None:
    clean, used = parts(), min(mutants, 60)
    found = fix(clean, mutants, rate)
    allowed = allowed_alarms(clean.images, rate, 0.95)
    seen = clean.evidence[clean.certification.correct, :used].sum(axis=1)
    alarms = [int((seen >= threshold).sum()) for threshold in range(used + 1)]
    assert found.certificate.alarms == alarms[found.threshold] <= allowed < alarms[found.threshold - 1]
    expected = fixed("fixed", used, found.threshold, 60, TARGETS)
    assert found.policy.hypotheses == expected.hypotheses
    assert (found.policy.name, found.policy.mutants, found.policy.error_bounds) == ("fixed", used, TARGETS)
    assert cost(found, clean.choice) == pytest.approx(used)


@pytest.mark.parametrize("clean_mutants", [3, 10])
def test_images_that_the_full_pool_would_do_for_are_not_refused(clean_mutants: float) -> None:
    clean = clean_parts(600, 2, pool=60)
    assert fix(clean, 60).threshold < 30
    assert calibrate(clean, clean_mutants=clean_mutants).threshold < 30


def test_the_served_rate_exceeds_the_requested_one_in_at_most_5_percent_of_calibrations(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Images have known label change counts, so the true rates of policies are known exactly."""
    pool, images, calibrations = 8, 300, 300
    shares = np.array([0.6, 0.2, 0.1, 0.047, 0.02, 0.013, 0.01, 0.006, 0.004])
    rng, shapes = np.random.default_rng(11), list[Shape]()
    choice = with_counts(rng.choice(pool + 1, images, p=shares), pool)

    def chosen_once(counts: CleanCounts, **asked: float) -> Shape:
        """Choose the shape once, as the choice part is the same in all calibrations."""
        if not shapes:
            shapes.append(choose_shape(counts, **asked))
        return shapes[0]

    monkeypatch.setattr("mutant_guard.decision.calibration.calibration.choose_shape", chosen_once)
    rates: dict[str, list[float]] = {"calibrated": [], "fixed": []}
    for seed in range(calibrations):
        certification = with_counts(rng.choice(pool + 1, images, p=shares), pool)
        clean = CleanParts(choice, certification, certification.shuffled(seed))
        makers: list[Callable[[], CertifiedPolicy]] = [
            partial(calibrate, clean, clean_mutants=4),
            partial(fix, clean, pool),
        ]
        for make in makers:
            policy = make().policy
            served = over_pool(policy.boundaries, np.arange(pool + 1), pool).adversarial
            rates[policy.name].append(float(served @ shares))
    for served_rates in rates.values():
        assert len(served_rates) == calibrations
        assert np.mean(served_rates) > 0.02
        assert sum(rate > 0.05 for rate in served_rates) <= stats.binom.ppf(0.999, calibrations, 0.05)
