"""Figures compared with scikit-learn's and with their definitions."""

import numpy as np
import pytest
from sklearn.metrics import matthews_corrcoef, roc_auc_score, roc_curve

from evaluation import metrics
from evaluation.metrics import Estimate, Scores


def _tied(seed: int, count: int, shift: float) -> Scores:
    """Draw scores with few distinct values, like label change rates."""
    return np.round(np.random.default_rng(seed).normal(shift, 1, count) * 3) / 3


def _sklearn(normal: Scores, suspicious: Scores) -> float:
    truth = np.repeat([0, 1], [len(normal), len(suspicious)])
    return float(roc_auc_score(truth, np.concatenate([normal, suspicious])))


@pytest.mark.parametrize("shift", [-0.5, 0.0, 1.0, 9.0])
def test_the_area_is_sklearns(shift: float) -> None:
    normal, suspicious = _tied(0, 80, 0), _tied(1, 50, shift)
    assert len(np.intersect1d(normal, suspicious)) > 2 or shift == 9
    expected = _sklearn(normal, suspicious)
    assert metrics.area(normal, suspicious) == pytest.approx(expected, abs=1e-12)
    assert metrics.auroc(normal, suspicious).value == pytest.approx(expected, abs=1e-12)


def test_the_area_of_several_pools_is_the_mean_of_theirs() -> None:
    normal = np.stack([_tied(seed, 60, 0) for seed in range(3)])
    suspicious = np.stack([_tied(seed, 40, seed) for seed in range(3, 6)])
    found = metrics.auroc(normal, suspicious)
    each = [_sklearn(low, high) for low, high in zip(normal, suspicious, strict=True)]
    assert found.value == pytest.approx(np.mean(each), abs=1e-6)
    assert max(each) - min(each) > 0.01
    assert found.low < found.value < found.high
    with pytest.raises(ValueError, match="zip"):
        metrics.auroc(normal, suspicious[:2])


def test_several_pools_of_the_same_images_are_no_more_images() -> None:
    normal, suspicious = _tied(0, 60, 0), _tied(1, 40, 1)
    one = metrics.auroc(normal, suspicious)
    four = metrics.auroc(np.stack([normal] * 4), np.stack([suspicious] * 4))
    assert (four.value, four.low, four.high) == pytest.approx((one.value, one.low, one.high), abs=1e-5)


def test_the_bootstrap_is_seeded() -> None:
    values = np.random.default_rng(0).random(40)
    assert metrics.mean(values, seed=1) == metrics.mean(values, seed=1)
    assert metrics.mean(values, seed=1).low != metrics.mean(values, seed=2).low
    first, again = (metrics.auroc(values, values[:30] + 0.1, seed=1) for _ in range(2))
    assert first == again


@pytest.mark.parametrize(("level", "least", "most"), [(0.95, 0.90, 0.985), (0.5, 0.4, 0.6)])
def test_intervals_of_means_cover(level: float, least: float, most: float) -> None:
    rng = np.random.default_rng(0)
    found = [metrics.mean(rng.random(60), seed, level) for seed in range(200)]
    assert least < np.mean([each.low <= 0.5 <= each.high for each in found]) < most


def test_intervals_of_areas_cover() -> None:
    rng = np.random.default_rng(0)
    found = [metrics.auroc(rng.random(50), rng.random(40), seed) for seed in range(200)]
    assert 0.90 < np.mean([each.low <= 0.5 <= each.high for each in found]) < 0.985


def test_the_interval_of_a_mean_is_as_wide_as_it_should_be() -> None:
    values = np.random.default_rng(0).normal(5, 2, 400)
    found = metrics.mean(values, level=0.99)
    assert found.value == pytest.approx(values.mean())
    half = 2.576 * values.std() / 20
    assert (found.value - found.low, found.high - found.value) == pytest.approx((half, half), rel=0.2)


def test_a_ratio_is_that_of_the_means() -> None:
    rng = np.random.default_rng(0)
    above, below = rng.normal(6, 1, 100), rng.normal(2, 0.5, 80)
    found = metrics.ratio(above, below)
    assert found.value == pytest.approx(above.mean() / below.mean())
    assert found.low < found.value < found.high
    assert found.high - found.low < 0.5
    narrow = metrics.ratio(above, below, level=0.5)
    assert found.low < narrow.low < narrow.high < found.high


def test_a_ratio_over_nothing_is_infinite() -> None:
    above = np.array([0.1, 0.2])
    assert metrics.ratio(above, np.zeros(5)) == Estimate(float("inf"), float("inf"), float("inf"))
    seldom = metrics.ratio(above, np.array([0.0] * 30 + [0.1]))  # a third of the resamples have only zeros
    assert seldom.value == pytest.approx(0.15 * 31 / 0.1)
    assert 0 < seldom.low < seldom.value
    assert seldom.high == float("inf")


def test_the_curve_is_a_step_function_of_sklearns_points() -> None:
    normal, suspicious = _tied(0, 90, 0), _tied(1, 70, 1)
    truth = np.repeat([0, 1], [90, 70])
    false_alarms, detected, _ = roc_curve(
        truth, np.concatenate([normal, suspicious]), drop_intermediate=False
    )
    at = np.unique(false_alarms)
    best = np.array([detected[false_alarms == value].max() for value in at])
    assert metrics.roc(normal, suspicious, at) == pytest.approx(best)
    between = at[:-1] + 0.9 * np.diff(at)
    assert metrics.roc(normal, suspicious, between) == pytest.approx(best[:-1])


def test_the_curve_promises_what_a_threshold_gives() -> None:
    normal, suspicious = _tied(2, 50, 0), _tied(3, 60, 1)
    for share in (0.0, 0.01, 0.05, 0.1, 0.37, 1.0):
        (found,) = metrics.roc(normal, suspicious, np.array([share]))
        best = max(
            (suspicious >= level).mean()
            for level in [*normal, *suspicious, np.inf]
            if (normal >= level).mean() <= share
        )
        assert found == pytest.approx(best)


def test_the_curve_has_every_threshold() -> None:
    same = np.array([1.0, 2.0, 3.0, 4.0])  # all points are on one line, and each is a threshold
    found = metrics.roc(same, same, np.array([0.0, 0.25, 0.3, 0.5, 0.74, 0.75, 1.0]))
    assert found.tolist() == [0, 0.25, 0.25, 0.5, 0.5, 0.75, 1]


@pytest.mark.parametrize("share", [0.0, 0.01, 0.05, 0.1, 0.5, 0.99])
def test_a_threshold_is_the_least_that_keeps_the_share(share: float) -> None:
    for seed, count in ((0, 7), (1, 100), (2, 333)):
        scores = _tied(seed, count, 0)
        found = metrics.threshold(scores, share)
        assert (scores > found).mean() <= share
        lower = scores[scores < found]
        if lower.size:  # the next lower score would let more through
            assert (scores > lower.max()).mean() > share


def test_the_threshold_itself_raises_no_alarm() -> None:
    scores = np.arange(100.0)
    assert metrics.threshold(scores, 0.05) == 94
    assert metrics.threshold(scores, 0.01) == 98
    assert metrics.threshold(scores, 0.0) == 99
    assert metrics.threshold(scores, 1.0) == 0
    assert metrics.threshold(np.full(20, 0.25), 0.05) == 0.25


def test_matthews_weighs_both_kinds_alike() -> None:
    normal, suspicious = np.array([False] * 9 + [True]), np.array([True, True, False])
    found = metrics.matthews(normal, suspicious)
    assert metrics.matthews(np.tile(normal, 7), suspicious) == pytest.approx(found)
    truth = np.repeat([0, 1], 30)
    assert found == pytest.approx(
        matthews_corrcoef(truth, np.concatenate([np.tile(normal, 3), np.tile(suspicious, 10)]))
    )
    assert metrics.matthews(np.zeros(4, dtype=bool), np.ones(9, dtype=bool)) == pytest.approx(1)
    assert metrics.matthews(np.ones(4, dtype=bool), np.zeros(9, dtype=bool)) == pytest.approx(-1)
    assert metrics.matthews(np.zeros(4, dtype=bool), np.zeros(9, dtype=bool)) == 0


def test_a_difference_of_areas_is_of_the_same_images() -> None:
    normal, suspicious = _tied(0, 60, 0), _tied(1, 40, 1)
    better = suspicious + 0.05
    found = metrics.auroc_difference((normal, better), (np.stack([normal] * 2), np.stack([suspicious] * 2)))
    assert found.value == pytest.approx(_sklearn(normal, better) - _sklearn(normal, suspicious), abs=1e-6)
    alone = metrics.auroc(normal, suspicious)
    assert 0 < found.low < found.value < found.high
    assert found.high - found.low < 0.5 * (alone.high - alone.low)
    nothing = metrics.auroc_difference((normal, suspicious), (normal, suspicious))
    assert (nothing.value, nothing.low, nothing.high) == (0, 0, 0)


def test_a_share_counts_hits_per_trial() -> None:
    trials = np.array([1.0, 3.0, 2.0] * 30)
    hits = np.array([1.0, 0.0, 1.0] * 30)
    found = metrics.share(hits, trials)
    assert found.value == pytest.approx(2 / 6)
    assert 0.2 < found.low < 2 / 6 < found.high < 0.5
    same = metrics.share(trials, trials)
    assert (same.value, same.low, same.high) == pytest.approx((1, 1, 1))
