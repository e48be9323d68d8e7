from collections import Counter
from fractions import Fraction
from itertools import product
from math import exp

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mutant_guard.decision.sequential.boundaries import Boundaries
from mutant_guard.decision.sequential.characteristic import Characteristic, ends, over_pool, over_stream
from mutant_guard.decision.sequential.finite_pool import FinitePoolSprt
from mutant_guard.decision.sequential.sprt import Sprt
from tests.mutant_guard.decision.exhaustive import (
    Shares,
    all_boundaries,
    over_orders,
    over_sequences,
    rule_of,
    walk,
)


def rows(found: Characteristic) -> list[list[float]]:
    columns = (found.normal, found.adversarial, found.undecided, found.mutants)
    return [[float(value) for value in row] for row in zip(*columns, strict=True)]


def assert_equal(found: Characteristic, expected: list[Shares]) -> None:
    for row, shares in zip(rows(found), expected, strict=True):
        assert row == pytest.approx([float(share) for share in shares], abs=1e-12)


@settings(deadline=None)
@given(all_boundaries(7), st.integers(0, 2))
def test_over_a_pool_it_is_what_all_orders_give(boundaries: Boundaries, unused: int) -> None:
    pool, rule = boundaries.mutants + unused, rule_of(boundaries)
    expected = [over_orders(rule, pool, count, boundaries.mutants) for count in range(pool + 1)]
    assert_equal(over_pool(boundaries, np.arange(pool + 1), pool), expected)


@settings(deadline=None)
@given(all_boundaries(7), st.lists(st.fractions(Fraction(1, 99), Fraction(98, 99)), min_size=1, max_size=3))
def test_over_a_stream_it_is_what_all_sequences_give(boundaries: Boundaries, rates: list[Fraction]) -> None:
    expected = [over_sequences(rule_of(boundaries), boundaries.mutants, rate) for rate in rates]
    assert_equal(over_stream(boundaries, np.array([float(rate) for rate in rates])), expected)


@settings(deadline=None)
@given(all_boundaries())
def test_paths_to_an_end_are_those_that_reach_no_other_before(boundaries: Boundaries) -> None:
    rule, found = rule_of(boundaries), ends(boundaries)
    expected = Counter[tuple[int, int, str]]()
    for labels in product((False, True), repeat=boundaries.mutants):
        end, used = walk(rule, labels)
        expected[used, sum(labels[:used]), end] += 1
    counted = {}
    for n, z, log_paths, normal, adversarial in zip(
        found.mutants, found.changes, found.log_paths, found.normal, found.adversarial, strict=True
    ):
        end = "normal" if normal else "adversarial" if adversarial else "undecided"
        key = int(n), int(z), end
        assert key not in counted
        # A full sequence stands for all sequences that begin with the same end.
        counted[key] = round(exp(log_paths)) * 2 ** (boundaries.mutants - int(n))
    assert {key: paths for key, paths in counted.items() if paths} == dict(expected)


@settings(deadline=None)
@given(all_boundaries(), st.integers(0, 5))
def test_more_label_changes_are_never_less_adversarial(boundaries: Boundaries, unused: int) -> None:
    pool = boundaries.mutants + unused
    pooled = over_pool(boundaries, np.arange(pool + 1), pool)
    streamed = over_stream(boundaries, np.linspace(0.01, 0.99, 21))
    for found in (pooled, streamed):
        assert (np.diff(found.adversarial) >= -1e-12).all()
        assert (np.diff(found.normal) <= 1e-12).all()


def fixed_size(mutants: int, threshold: int) -> Boundaries:
    normal, adversarial = np.full(mutants + 1, -1), np.arange(mutants + 1) + 1
    normal[-1], adversarial[-1] = threshold - 1, threshold
    return Boundaries(normal, adversarial)


@pytest.mark.parametrize(
    ("boundaries", "pool"),
    [
        (Sprt(0.05, 0.04).boundaries(3000), 3000),
        (Sprt(0.25, 0.05).boundaries(800), 5000),
        (FinitePoolSprt.between(1500, 75, 80, 0.05, 0.001).boundaries(), 1500),
        (fixed_size(200, 12), 5000),
        (fixed_size(900, 50), 900),
        (fixed_size(2000, 100), 2000),
    ],
    ids=["long", "short", "without replacement", "fixed 200", "fixed 900", "fixed 2000"],
)
def test_probabilities_sum_to_one_in_large_pools(boundaries: Boundaries, pool: int) -> None:
    counts = np.unique(np.linspace(0, pool, 41).astype(np.int64))
    found = over_pool(boundaries, counts, pool)
    assert np.abs(found.normal + found.adversarial + found.undecided - 1).max() < 1e-8
    assert (found.mutants >= 1 - 1e-8).all()
    assert (found.mutants <= boundaries.mutants + 1e-5).all()


def test_a_walk_between_two_walls_is_the_gamblers_ruin() -> None:
    """An excess of two labels decides, at p0 = 3/4, p1 = 1/4 and odds of 9 for the bounds."""
    test = Sprt(0.75, 0.25, 0.1, 0.1)
    found = over_stream(test.boundaries(400), np.array([0.25, 0.5, 0.75]))
    ruin = 1 / (1 + 3**2)
    assert found.adversarial.tolist() == pytest.approx([ruin, 0.5, 1 - ruin], abs=1e-12)
    assert found.mutants.tolist() == pytest.approx([4 * (1 - 2 * ruin), 4, 4 * (1 - 2 * ruin)], abs=1e-12)


@pytest.mark.parametrize("rates", [(0.25, 0.05), (0.1, 0.02), (0.6, 0.4), (0.9, 0.7)])
@pytest.mark.parametrize(("alpha", "beta"), [(0.05, 0.05), (0.01, 0.2), (0.2, 0.001)])
def test_errors_stay_within_walds_bounds_at_the_hypotheses(
    rates: tuple[float, float], alpha: float, beta: float
) -> None:
    found = over_stream(Sprt(*rates, alpha, beta).boundaries(1500), np.array(rates))
    assert found.undecided.max() < 1e-6
    misses, false_alarms = found.normal[0], found.adversarial[1]
    assert misses <= alpha / (1 - beta)
    assert false_alarms <= beta / (1 - alpha)
    assert misses + false_alarms <= alpha + beta


def test_a_pool_much_larger_than_the_test_is_a_stream() -> None:
    boundaries, pool = Sprt(0.25, 0.05).boundaries(60), 200_000
    rates = np.array([0.05, 0.1, 0.25, 0.6])
    pooled = over_pool(boundaries, np.round(rates * pool).astype(np.int64), pool)
    assert np.allclose(rows(pooled), rows(over_stream(boundaries, rates)), rtol=5e-4, atol=1e-5)
