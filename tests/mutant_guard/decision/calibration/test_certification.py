from itertools import count
from math import isclose

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from mutant_guard.decision.calibration.certification import (
    CalibrationError,
    Certificate,
    allowed_alarms,
    certifiable_rate,
    certify,
    check_images,
    images_needed,
)
from mutant_guard.decision.calibration.intervals import clopper_pearson

rates = st.sampled_from([0.001, 0.01, 0.02, 0.05, 0.1, 0.25, 0.4])
confidences = st.sampled_from([0.8, 0.9, 0.95, 0.99])


@pytest.mark.parametrize(("rate", "needed"), [(0.05, 59), (0.01, 299)])
def test_no_alarm_on_59_images_certifies_5_percent_and_on_299_images_1_percent(
    rate: float, needed: int
) -> None:
    assert images_needed(rate, 0.95) == needed


@settings(deadline=None)
@given(st.floats(0.001, 0.9), st.floats(0.5, 0.999))
def test_images_needed_are_the_fewest_that_certify_anything(rate: float, confidence: float) -> None:
    needed = images_needed(rate, confidence)
    assume(not any(isclose((1 - rate) ** n, 1 - confidence) for n in (needed - 1, needed)))
    assert allowed_alarms(needed, rate, confidence) >= 0
    assert allowed_alarms(needed - 1, rate, confidence) == -1


@pytest.mark.parametrize(
    ("rate", "confidence", "needed"),
    [(0.5, 0.75, 2), (0.5, 0.875, 3), (0.1, 0.19, 2), (0.8, 0.96, 2), (0.9, 0.99, 2)],
)
def test_a_confidence_met_exactly_is_enough(rate: float, confidence: float, needed: int) -> None:
    assert images_needed(rate, confidence) == needed
    assert allowed_alarms(needed, rate, confidence) == 0
    assert allowed_alarms(needed - 1, rate, confidence) == -1


@given(st.integers(1, 100_000), confidences)
def test_the_certifiable_rate_is_one_that_these_images_certify_and_hardly_a_lower_one(
    images: int, confidence: float
) -> None:
    rate = certifiable_rate(images, confidence)
    assert 0 < rate < 1
    assert images_needed(rate, confidence) <= images
    assert images_needed(0.9 * rate, confidence) > images
    assert float(f"{rate:.2g}") == rate or rate > 0.98


def test_59_images_certify_5_percent_and_none_certify_nothing() -> None:
    assert [certifiable_rate(images, 0.95) for images in (0, 18, 58, 59, 299)] == [1, 0.16, 0.051, 0.05, 0.01]


@settings(deadline=None)
@given(st.integers(1, 800), rates, confidences)
def test_allowed_alarms_are_the_most_whose_upper_bound_is_the_rate(
    images: int, rate: float, confidence: float
) -> None:
    allowed = allowed_alarms(images, rate, confidence)
    alarms = np.arange(images)
    upper = stats.beta.ppf(confidence, alarms + 1, images - alarms)
    assert allowed == np.count_nonzero(upper <= rate) - 1
    if allowed >= 0:
        assert clopper_pearson(allowed, images, 2 * confidence - 1).high <= rate + 1e-12
    assert clopper_pearson(allowed + 1, images, 2 * confidence - 1).high > rate


@pytest.mark.parametrize("images", [0, 1, 58])
def test_too_few_images_are_said_with_what_is_needed(images: int) -> None:
    said = (
        rf"0\.05 with 95% confidence needs at least 59 .* there are {images}; give more, or raise --max-false"
    )
    with pytest.raises(CalibrationError, match=said):
        check_images(images, 0.05, 0.95)
    with pytest.raises(CalibrationError, match=r"alarm \(to 0\.\d+ for these\)$" if images else "alarm$"):
        check_images(images, 0.05, 0.95)
    with pytest.raises(CalibrationError, match="at least 59"):
        certify([1], lambda _: pytest.fail("looked at the images"), images, 0.05, 0.95)


def test_enough_images_are_accepted() -> None:
    check_images(59, 0.05, 0.95)


def test_it_stops_at_the_first_failure_and_never_looks_behind_it() -> None:
    """Certification on 200 images allows 4 alarms.

    The candidates after the failure would pass again.
    """
    alarms, asked = [0, 2, 4, 5, 0, 0], []

    def ask(candidate: int) -> int:
        asked.append(candidate)
        return alarms[candidate]

    drawn = count()
    found = certify(drawn, ask, 200, 0.05, 0.95)
    assert found == (2, Certificate(0.05, 0.95, 200, alarms=4, allowed=4))
    assert asked == [0, 1, 2, 3]
    assert next(drawn) == 4


def test_the_last_candidate_is_certified_where_all_pass() -> None:
    found = certify("abc", lambda _: 1, 200, 0.05, 0.95)
    assert found == ("c", Certificate(0.05, 0.95, 200, alarms=1, allowed=4))


def test_a_first_candidate_that_fails_is_said() -> None:
    with pytest.raises(
        CalibrationError, match=r"0\.05: more than 4 of 200 .* lower --rate or raise --max-false"
    ):
        certify([1, 2], lambda candidate: 5 if candidate == 1 else 0, 200, 0.05, 0.95)


@pytest.mark.parametrize(("images", "rate"), [(60, 0.05), (400, 0.05), (800, 0.02)])
def test_the_true_rate_exceeds_the_requested_one_in_at_most_5_percent_of_calibrations(
    images: int, rate: float
) -> None:
    """Thresholds are so fine that one lies just beyond the rate.

    There, the share of failures is known exactly. The first threshold is beyond the pool and never
    alarms.
    """
    calibrations, pool = 4000, 300
    probabilities = np.geomspace(1, 1e-4, pool + 1)
    probabilities /= probabilities.sum()
    true_rate = np.append(np.cumsum(probabilities[::-1])[::-1], 0)
    drawn = np.random.default_rng(7).multinomial(images, probabilities, size=calibrations)
    alarms = np.pad(np.cumsum(drawn[:, ::-1], axis=1)[:, ::-1], ((0, 0), (0, 1)))
    chosen = [certify(range(pool + 1, 0, -1), row.__getitem__, images, rate, 0.95)[0] for row in alarms]
    failures = int((true_rate[chosen] > rate).sum())
    assert failures <= stats.binom.ppf(1 - 1e-6, calibrations, 0.05)
    first_beyond = true_rate[true_rate > rate].min()
    share = stats.binom.cdf(allowed_alarms(images, rate, 0.95), images, first_beyond)
    assert share < 0.05
    assert stats.binomtest(failures, calibrations, share).pvalue > 1e-6
