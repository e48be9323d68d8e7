from fractions import Fraction
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mutant_guard.decision.sequential.builders import fixed, sequential, without_replacement
from mutant_guard.decision.sequential.characteristic import over_pool
from mutant_guard.decision.sequential.finite_pool import FinitePoolSprt, Mixture
from mutant_guard.decision.sequential.policies import ErrorBounds
from mutant_guard.decision.sequential.sprt import Sprt
from tests.mutant_guard.decision.exhaustive import over_orders, rule_of

# No share of the orders of pools this small equals these bounds, so rounding of floats decides
# nothing.
NO_SHARE = ErrorBounds(0.0512371, 0.1033117)


def test_algorithm_1_over_a_pool_is_the_test_itself() -> None:
    test = Sprt(0.25, 0.05, 0.04, 0.03)
    policy = sequential("paper", test, 90)
    expected = test.boundaries(90)
    assert policy.boundaries.normal_at_most.tolist() == expected.normal_at_most.tolist()
    assert policy.boundaries.adversarial_at_least.tolist() == expected.adversarial_at_least.tolist()
    assert (policy.name, policy.pool, policy.mutants) == ("paper", 90, 90)
    assert (policy.targets, policy.statistic, policy.capped) == (ErrorBounds(0.04, 0.03), test, False)


@pytest.mark.parametrize(
    ("p1", "p0", "pool", "low", "high"),
    [
        (0.05, 0.25, 500, 25, 125),
        (0.0396, 0.0484, 500, 19, 25),
        (0.1, 0.9, 3, 0, 3),
        (0.301, 0.302, 10, 3, 4),
    ],
)
def test_its_hypotheses_are_in_whole_label_changes(
    p1: float, p0: float, pool: int, low: int, high: int
) -> None:
    assert sequential("paper", Sprt(p0, p1), pool).hypotheses == (low, high)


@pytest.mark.parametrize("pool", [49, 100, 500])
def test_a_rate_of_whole_label_changes_is_that_hypothesis(pool: int) -> None:
    """7 of 100 mutants are a rate of at least 0.07, though 0.07 × 100 exceeds 7 in floats."""
    for count in range(2, pool):
        policy = sequential("paper", Sprt(count / pool, (count - 1) / pool), pool)
        assert policy.hypotheses == (count - 1, count)


def test_a_finite_pool_test_is_the_test_itself() -> None:
    test = FinitePoolSprt.between(60, 5, 20, 0.05, 0.01)
    policy = without_replacement("calibrated", test, 0.02)
    expected = test.boundaries()
    assert policy.boundaries.normal_at_most.tolist() == expected.normal_at_most.tolist()
    assert policy.boundaries.adversarial_at_least.tolist() == expected.adversarial_at_least.tolist()
    assert (policy.name, policy.pool, policy.mutants) == ("calibrated", 60, 60)
    assert (policy.targets, policy.statistic, policy.capped) == (ErrorBounds(0.05, 0.02), test, False)


@settings(deadline=None)
@given(st.data())
def test_its_lower_hypothesis_is_the_last_count_with_so_few_alarms(data: st.DataObject) -> None:
    pool = data.draw(st.integers(1, 9))
    high = data.draw(st.integers(1, pool))
    counts = sorted(data.draw(st.sets(st.integers(0, high - 1), min_size=1)))
    mixture = Mixture(tuple(counts), tuple(1 / len(counts) for _ in counts))
    test = FinitePoolSprt(pool, mixture, high, 0.05, data.draw(st.sampled_from([0.01, 0.1, 0.5])))
    policy = without_replacement("calibrated", test, NO_SHARE.beta)
    rule = rule_of(test.boundaries())
    alarms = [float(over_orders(rule, pool, count).adversarial) for count in range(high)]
    assert policy.hypotheses == (max(k for k in range(high) if max(alarms[: k + 1]) <= NO_SHARE.beta), high)
    assert policy.error_bounds == policy.targets == ErrorBounds(0.05, NO_SHARE.beta)


@st.composite
def fixed_sizes(draw: st.DrawFn) -> tuple[int, int, int]:
    pool = draw(st.integers(1, 60))
    mutants = draw(st.integers(1, pool))
    return mutants, draw(st.integers(1, mutants)), pool


@settings(deadline=None)
@given(fixed_sizes())
def test_a_fixed_number_uses_exactly_that_many_mutants_for_everybody(case: tuple[int, int, int]) -> None:
    mutants, threshold, pool = case
    policy = fixed("fixed", mutants, threshold, pool, NO_SHARE)
    assert policy.mutants == mutants
    found = over_pool(policy.boundaries, np.arange(pool + 1), pool)
    assert found.mutants == pytest.approx(np.full(pool + 1, mutants))
    assert found.undecided.tolist() == [0.0] * (pool + 1)
    expected = stats.hypergeom.sf(threshold - 1, pool, np.arange(pool + 1), mutants)
    assert found.adversarial == pytest.approx(expected, abs=1e-9)
    for used in range(mutants):
        z = np.arange(used + 1)
        assert policy.look_ahead(z, np.full_like(z, used)).tolist() == [mutants - used] * (used + 1)


@settings(deadline=None)
@given(fixed_sizes())
def test_its_hypotheses_are_the_nearest_that_keep_the_error_probabilities(case: tuple[int, int, int]) -> None:
    mutants, threshold, pool = case
    policy = fixed("fixed", mutants, threshold, pool, NO_SHARE)
    counts = np.arange(pool + 1)
    alarms = stats.hypergeom.sf(threshold - 1, pool, counts, mutants)
    verdicts_of_normal = stats.hypergeom.cdf(threshold - 1, pool, counts, mutants)
    low, high = policy.hypotheses
    assert low < high
    assert alarms[low] <= NO_SHARE.beta < alarms[low + 1]
    assert verdicts_of_normal[high] <= NO_SHARE.alpha < verdicts_of_normal[high - 1]
    assert policy.error_bounds == NO_SHARE


@pytest.mark.parametrize(("mutants", "pool"), [(1, 20), (19, 20), (1, 40), (2, 40), (3, 20)])
def test_an_error_probability_met_exactly_is_kept(mutants: int, pool: int) -> None:
    """A test of one mutant of 20 alarms on one label change in exactly 5 % of the orders."""
    shares = [1 - Fraction(comb(pool - count, mutants), comb(pool, mutants)) for count in range(pool + 1)]
    low = max(count for count, alarms in enumerate(shares) if alarms <= Fraction(1, 20))
    high = min(count for count, alarms in enumerate(shares) if 1 - alarms <= Fraction(1, 20))
    assert fixed("fixed", mutants, 1, pool, ErrorBounds(0.05, 0.05)).hypotheses == (low, high)


@pytest.mark.parametrize("pool", [900, 1500])
def test_a_fixed_number_of_all_mutants_of_a_large_pool_errs_nowhere(pool: int) -> None:
    policy = fixed("fixed", pool, 60, pool, ErrorBounds(0.05, 0.05))
    assert policy.hypotheses == (59, 60)
    assert policy.error_bounds == ErrorBounds(0.05, 0.05)
