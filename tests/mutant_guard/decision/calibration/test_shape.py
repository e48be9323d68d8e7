from itertools import pairwise
from math import exp

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mutant_guard.decision.calibration.certification import CalibrationError
from mutant_guard.decision.calibration.shape import CleanCounts, Shape, choose_shape
from mutant_guard.decision.sequential.characteristic import Characteristic, over_pool
from mutant_guard.decision.sequential.finite_pool import FinitePoolSprt, Mixture


def clean_counts(pool: int, seed: int, images: int = 300) -> CleanCounts:
    rng = np.random.default_rng(seed)
    correct = rng.binomial(pool, rng.beta(0.4, 4, images))
    wrong = rng.binomial(pool, rng.beta(3, 3, images // 10))
    return CleanCounts(pool, correct, np.concatenate([correct, wrong]))


def characteristic(test: FinitePoolSprt) -> Characteristic:
    """Return the characteristic for every label change count from 0 to the pool."""
    return over_pool(test.boundaries(), np.arange(test.pool + 1), test.pool)


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    pool = draw(st.integers(1, 120))
    threshold = draw(st.integers(1, pool))
    counts = np.array(draw(st.lists(st.integers(0, pool), max_size=20)), dtype=np.int64)
    return Shape(CleanCounts(pool, counts, counts), threshold, draw(st.integers(threshold, pool)), 0.05, 0.01)


@settings(deadline=None)
@given(shapes())
def test_every_threshold_parts_its_hypotheses(shape: Shape) -> None:
    pool = shape.clean.pool
    tests = [shape.test(threshold) for threshold in range(1, pool + 1)]
    for threshold, test in enumerate(tests, start=1):
        assert 0 <= test.normal.largest < threshold <= test.high <= pool
        assert test.normal == Mixture.of_images(shape.clean.correct, threshold)
        assert (test.pool, test.alpha) == (pool, shape.alpha)
        if threshold <= shape.threshold:
            assert test.beta == pytest.approx(shape.beta, rel=1e-12)
    assert all(lower.high <= upper.high and lower.beta >= upper.beta for lower, upper in pairwise(tests))


def test_the_bound_on_false_alarms_is_smallest_from_twice_the_threshold_on() -> None:
    counts = np.arange(10, dtype=np.int64)
    shape = Shape(CleanCounts(100, counts, counts), 20, 30, 0.05, 0.01)
    betas = [shape.test(threshold).beta for threshold in (20, 30, 40, 100)]
    assert betas[1] == pytest.approx(np.sqrt(0.01 * np.exp(-14)))
    assert betas[2:] == pytest.approx([np.exp(-14)] * 2)


@settings(deadline=None)
@given(shapes())
def test_what_must_be_caught_keeps_its_ratio_to_the_threshold(shape: Shape) -> None:
    assert shape.test(shape.threshold).high == shape.high
    for threshold in range(1, shape.clean.pool + 1):
        exact = shape.high * threshold / shape.threshold
        high = shape.test(threshold).high
        assert exact - 1e-9 <= high < exact + 1 or high == shape.clean.pool < exact


@pytest.mark.parametrize("pool", [5, 40])
@pytest.mark.parametrize("false_alarm", [0.02, 0.05, 0.1])
@pytest.mark.parametrize("clean_mutants", [2.5, 6.0, 15.0])
def test_the_shape_keeps_threshold_false_alarms_and_budget(
    pool: int, false_alarm: float, clean_mutants: float
) -> None:
    counts = clean_counts(pool, 3)
    shape = choose_shape(counts, false_alarm=false_alarm, max_miss=0.05, clean_mutants=clean_mutants)
    reached = [(counts.correct >= k).mean() for k in range(pool + 1)]
    assert reached[shape.threshold] <= false_alarm < reached[shape.threshold - 1]
    assert shape.threshold <= shape.high <= pool
    assert shape.alpha == 0.05 or (shape.alpha < 0.05 and shape.high == shape.threshold)
    assert shape.clean is counts
    for threshold in range(shape.threshold, pool + 1):
        # Thresholds above the shape's own count too, as certification may begin at the highest.
        alarms = characteristic(shape.test(threshold)).adversarial[counts.correct].mean()
        assert alarms <= false_alarm + 1e-9
    found = characteristic(shape.test(shape.threshold))
    assert found.normal[shape.high :].max() <= shape.alpha + 1e-9
    assert found.mutants[counts.everyone].mean() <= clean_mutants + 1e-9


def cost_with_the_largest_beta(counts: CleanCounts, threshold: int, high: int, alpha: float) -> float:
    """Return the mean mutants at the largest β on the grid that keeps the false alarms at 5 %.

    Each β is tried in turn. The smallest is taken where none keeps them.
    """
    normal, cost = Mixture.of_images(counts.correct, threshold), 0.0
    for steps in range(1, 281):
        found = characteristic(FinitePoolSprt(counts.pool, normal, high, alpha, exp(-0.05 * steps)))
        cost = float(found.mutants[counts.everyone].mean())
        if found.adversarial[counts.correct].mean() <= 0.05:
            break
    return cost


@pytest.mark.parametrize(("pool", "seed"), [(5, 0), (8, 3), (12, 5)])
def test_it_is_the_sharpest_test_of_all_that_the_budget_allows(pool: int, seed: int) -> None:
    counts = clean_counts(pool, seed)
    threshold = min(k for k in range(1, pool + 1) if (counts.correct >= k).mean() <= 0.05)
    costs = {h: cost_with_the_largest_beta(counts, threshold, h, 0.05) for h in range(threshold, pool + 1)}
    assert len(set(costs.values())) > 1
    for budget in np.linspace(min(costs.values()), max(costs.values()), 5) + 1e-6:
        shape = choose_shape(counts, false_alarm=0.05, max_miss=0.05, clean_mutants=budget)
        assert (shape.threshold, shape.high) == (threshold, min(h for h in costs if costs[h] <= budget))
        own = characteristic(shape.test(threshold)).mutants[counts.everyone].mean()
        assert own == pytest.approx(costs[shape.high]) or shape.alpha < 0.05


def test_what_the_sharpest_test_leaves_of_the_budget_halves_the_misses() -> None:
    counts = clean_counts(12, 5)
    threshold = min(k for k in range(1, 13) if (counts.correct >= k).mean() <= 0.05)
    costs = [
        cost_with_the_largest_beta(counts, threshold, threshold, 0.05 / 2**halvings) for halvings in range(11)
    ]
    assert costs == sorted(costs)
    assert costs[0] + 0.5 < costs[-1]
    for budget in (*np.linspace(costs[0], costs[-1], 4) + 1e-6, 12):
        shape = choose_shape(counts, false_alarm=0.05, max_miss=0.05, clean_mutants=budget)
        assert shape.threshold == shape.high == threshold
        assert shape.alpha == 0.05 / 2 ** max(halvings for halvings in range(11) if costs[halvings] <= budget)


def test_a_budget_below_the_cheapest_test_gives_the_bluntest() -> None:
    shape = choose_shape(clean_counts(6, 3), false_alarm=0.05, max_miss=0.05, clean_mutants=0.5)
    assert shape.high == 6


def test_more_mutants_buy_a_sharper_test() -> None:
    counts = clean_counts(60, 1)
    highs = [
        choose_shape(counts, false_alarm=0.05, max_miss=0.05, clean_mutants=budget).high
        for budget in (3, 6, 12, 24)
    ]
    assert highs == sorted(set(highs), reverse=True)


def test_fewer_misses_cost_sharpness() -> None:
    counts = clean_counts(60, 1)
    sharp, safe = (
        choose_shape(counts, false_alarm=0.05, max_miss=miss, clean_mutants=12) for miss in (0.2, 0.01)
    )
    assert safe.threshold == sharp.threshold
    assert safe.high > sharp.high


def test_wrongly_classified_images_cost_mutants_but_are_no_false_alarms() -> None:
    counts = clean_counts(40, 2)
    wild = CleanCounts(40, counts.correct, np.concatenate([counts.correct, np.full(300, 12)]))
    alone, among = (
        choose_shape(c, false_alarm=0.05, max_miss=0.05, clean_mutants=10) for c in (counts, wild)
    )
    assert among.threshold == alone.threshold
    assert among.high > alone.high


@pytest.mark.parametrize("share", [0.06, 1.0])
def test_labels_that_change_under_every_mutant_are_said(share: float) -> None:
    correct = np.where(np.arange(100) < 100 * share, 30, 0)
    with pytest.raises(
        CalibrationError, match=r"may raise an alarm \(5\.0%.*lower --rate or raise --max-false-alarm"
    ):
        choose_shape(CleanCounts(30, correct, correct), false_alarm=0.05, max_miss=0.05, clean_mutants=10)


def test_images_that_are_all_wrong_are_said() -> None:
    counts = CleanCounts(50, np.zeros(0, dtype=np.int64), np.full(40, 20))
    with pytest.raises(CalibrationError, match="classified correctly; give more images"):
        choose_shape(counts, false_alarm=0.05, max_miss=0.1, clean_mutants=20)
