"""Training on one half and scoring the other."""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from evaluation.baselines.cross_fit import cross_fitted, positions

GENERATOR = np.random.default_rng(0)
NORMAL = GENERATOR.normal(size=(400, 3))
KIND = GENERATOR.normal(loc=[1.5, 0, 0], size=(150, 3))
CALIBRATION = GENERATOR.normal(size=(1_000, 3))
SOURCES = np.arange(400)


def test_what_differs_is_found_and_one_threshold_holds_in_both_halves() -> None:
    normal, kind, calibration = cross_fitted(NORMAL, SOURCES, KIND, SOURCES[:150], CALIBRATION, 1)
    truth = np.repeat([0, 1], [400, 150])
    best = roc_auc_score(truth, np.concatenate([NORMAL[:, 0], KIND[:, 0]]))
    assert roc_auc_score(truth, np.concatenate([normal, kind])) == pytest.approx(best, abs=0.02)
    np.testing.assert_array_equal(np.sort(calibration), np.arange(1_000))
    threshold = np.quantile(calibration, 0.9)
    assert (normal > threshold).mean() == pytest.approx(0.1, abs=0.05)
    again = cross_fitted(NORMAL, SOURCES, KIND, SOURCES[:150], CALIBRATION, 1)
    np.testing.assert_array_equal(again.kind, kind)


def test_features_of_very_different_scale_count_alike() -> None:
    factors = np.array([1e6, 1e-3, 1.0])
    plain = cross_fitted(NORMAL, SOURCES, KIND, SOURCES[:150], CALIBRATION, 1)
    scaled = cross_fitted(NORMAL * factors, SOURCES, KIND * factors, SOURCES[:150], CALIBRATION * factors, 1)
    np.testing.assert_allclose(scaled.kind, plain.kind, rtol=1e-6)


def test_no_image_is_scored_by_what_saw_its_source() -> None:
    """Each source has a feature of its own, so only a regression that saw the source can tell."""
    count = 40
    own = np.eye(count)
    kind = np.vstack([own, own])  # two attacked images for each source
    normal, attacked, _ = cross_fitted(
        own, np.arange(count), kind, np.tile(np.arange(count), 2), np.zeros((2, count)), 0
    )
    # An image and its attacked copies have the same features, so they get the same score only when
    # they are in one half.
    np.testing.assert_allclose(attacked[:count], attacked[count:])
    np.testing.assert_allclose(attacked[:count], normal)
    # The other half never shows a feature of this half varying, so all scores within a half are
    # equal.
    assert len(np.unique(np.round(normal, 6))) <= 2


def test_images_of_no_source_are_split_as_well() -> None:
    unknown = np.full(150, -1)
    scores = cross_fitted(NORMAL, SOURCES, KIND, unknown, CALIBRATION, 1)
    assert np.median(scores.kind) > np.median(scores.normal)
    np.testing.assert_array_equal(unknown, -1)


def test_too_few_images_are_refused() -> None:
    with pytest.raises(ValueError, match="too few sources"):
        cross_fitted(NORMAL, SOURCES, KIND[:2], np.array([3, 3]), CALIBRATION, 0)
    with pytest.raises(ValueError, match="two calibration images"):
        cross_fitted(NORMAL, SOURCES, KIND, SOURCES[:150], CALIBRATION[:1], 0)


def test_positions() -> None:
    calibration = np.array([3.0, 1.0, 2.0, 2.0])
    np.testing.assert_allclose(positions(calibration, calibration), [3, 0, 1.5, 1.5])
    spread = calibration.std()
    asked = np.array([1.5, 2.5, 3 + spread, 1 - 2 * spread])
    np.testing.assert_allclose(positions(asked, calibration), [0.75, 2.25, 4, -2])
    logits = GENERATOR.normal(size=50)
    ranked = positions(logits, np.linspace(-1, 1, 7))
    np.testing.assert_array_equal(np.argsort(ranked), np.argsort(logits))


def test_scores_are_those_of_scikit_learn_s_regression() -> None:
    """Every source is in the data twice, so both halves resemble the whole that is fitted here."""
    scores = cross_fitted(NORMAL, SOURCES, KIND, SOURCES[:150], CALIBRATION, 1)
    whole = LogisticRegression(class_weight="balanced").fit(
        np.vstack([NORMAL, KIND]), np.repeat([0, 1], [400, 150])
    )
    assert np.corrcoef(scores.kind, expit(whole.decision_function(KIND)))[0, 1] > 0.95
