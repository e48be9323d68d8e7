from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from math import comb
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mutant_guard.decision.sequential.characteristic import over_pool, over_stream
from mutant_guard.decision.sequential.finite_pool import FinitePoolSprt, Mixture, last_that
from mutant_guard.decision.sequential.sprt import Sprt
from tests.mutant_guard.decision.exhaustive import End, Rule, orders, over_orders, reached, rule_of, walk

# Ratios of small whole numbers meet bounds of 2, 3 and 10 exactly.
BOUNDS = [
    (Fraction(a), Fraction(b)) for a, b in (("1/2", "1/2"), ("1/3", "0.1"), ("0.1", "1/3"), ("0.001", "0.9"))
]


class Case(NamedTuple):
    """Test and its parameters in fractions, with the weights of the normal counts."""

    test: FinitePoolSprt
    normal: dict[int, Fraction]
    alpha: Fraction
    beta: Fraction


def made(pool: int, normal: dict[int, Fraction], high: int, alpha: Fraction, beta: Fraction) -> Case:
    mixture = Mixture(tuple(normal), tuple(float(weight) for weight in normal.values()))
    return Case(FinitePoolSprt(pool, mixture, high, float(alpha), float(beta)), normal, alpha, beta)


def between_two_counts(pool: int) -> Iterator[Case]:
    for low in range(pool):
        for high in range(low + 1, pool + 1):
            for alpha, beta in BOUNDS:
                test = FinitePoolSprt.between(pool, low, high, float(alpha), float(beta))
                yield Case(test, {low: Fraction(1)}, alpha, beta)


@st.composite
def mixtures(draw: st.DrawFn, least: int, most: int) -> Case:
    """Draw a test of a pool of ``least`` to ``most`` mutants.

    Its numbers are such that no ratio comes close to a bound without meeting it.
    """
    pool = draw(st.integers(least, most))
    high = draw(st.integers(1, pool))
    counts = draw(st.sets(st.integers(0, high - 1), min_size=1, max_size=4))
    parts = {count: draw(st.integers(1, 9)) for count in sorted(counts)}
    normal = {count: Fraction(part, sum(parts.values())) for count, part in parts.items()}
    alpha, beta = (Fraction(draw(st.integers(1, 99)), 100) for _ in range(2))
    return made(pool, normal, high, alpha, beta)


def wald(case: Case) -> Rule:
    """Write the test down in fractions.

    A count that rules out both hypotheses must never come up.
    """
    pool = case.test.pool

    def likelihood(count: int, changes: int, mutants: int) -> int:
        """Return the hypergeometric likelihood, up to the number of ways to draw at all."""
        return comb(count, changes) * comb(pool - count, mutants - changes)

    @cache
    def rule(changes: int, mutants: int) -> End:
        normal = sum(weight * likelihood(count, changes, mutants) for count, weight in case.normal.items())
        adversarial = likelihood(case.test.high, changes, mutants)
        assert normal or adversarial
        if normal * case.alpha >= adversarial:
            return "normal"
        return "adversarial" if normal <= case.beta * adversarial else "undecided"

    return rule


def assert_like_every_order(case: Case) -> None:
    test, boundaries = case.test, case.test.boundaries()
    pool, expected, found = test.pool, wald(case), rule_of(boundaries)
    assert boundaries.mutants == pool
    assert reached(found, pool) == reached(expected, pool)
    by_orders = [over_orders(expected, pool, count) for count in range(pool + 1)]
    assert not any(shares.undecided for shares in by_orders)
    assert all(shares.normal <= case.alpha for shares in by_orders[test.high :])
    false_alarms = sum(weight * by_orders[count].adversarial for count, weight in case.normal.items())
    assert false_alarms <= case.beta
    computed = over_pool(boundaries, np.arange(pool + 1), pool)
    rows = np.stack([computed.normal, computed.adversarial, computed.undecided, computed.mutants], axis=1)
    assert rows == pytest.approx(np.array([[float(x) for x in shares] for shares in by_orders]), abs=1e-12)


@pytest.mark.parametrize("pool", range(1, 9))
def test_decisions_errors_and_mutants_are_those_of_every_order_of_the_pool(pool: int) -> None:
    for case in between_two_counts(pool):
        assert_like_every_order(case)


@settings(deadline=None)
@given(mixtures(1, 10))
def test_so_they_are_where_normal_inputs_have_different_counts(case: Case) -> None:
    assert_like_every_order(case)


@pytest.mark.parametrize("pool", range(1, 9))
def test_with_a_single_normal_count_whoever_has_fewer_changes_alarms_no_more_often(pool: int) -> None:
    for case in between_two_counts(pool):
        rule = rule_of(case.test.boundaries())
        (low,) = case.normal
        assert all(over_orders(rule, pool, count).adversarial <= case.beta for count in range(low + 1))


@settings(deadline=None)
@given(mixtures(1, 9))
def test_a_pool_used_to_its_end_has_given_its_own_verdict(case: Case) -> None:
    test, rule = case.test, rule_of(case.test.boundaries())
    for count in (*range(test.normal.largest + 1), *range(test.high, test.pool + 1)):
        ends = {walk(rule, labels) for labels in orders(test.pool, count)}
        at_the_end = {end for end, mutants in ends if mutants == test.pool}
        assert at_the_end <= {"adversarial" if count >= test.high else "normal"}


@settings(deadline=None)
@given(mixtures(1, 40))
def test_it_goes_on_only_while_the_rest_of_the_pool_can_bring_about_either_verdict(case: Case) -> None:
    test = case.test
    for (z, n), end in reached(rule_of(test.boundaries()), test.pool).items():
        least, most = z, z + test.pool - n
        if end == "undecided":
            assert least <= test.normal.largest < test.high <= most
        elif most < test.high:
            assert end == "normal"
        elif least > test.normal.largest:
            assert end == "adversarial"


@settings(deadline=None)
@given(mixtures(1, 50))
def test_boundaries_are_where_the_ratio_meets_the_bounds(case: Case) -> None:
    test, boundaries = case.test, case.test.boundaries()
    z, n = np.array([(z, n) for n in range(test.pool + 1) for z in range(n + 1)]).T
    ratio = test.log_ratio(z, n)
    assert boundaries.is_normal(z, n).tolist() == (ratio >= test.upper - 1e-9).tolist()
    assert boundaries.is_adversarial(z, n).tolist() == (ratio <= test.lower + 1e-9).tolist()


@pytest.mark.parametrize(
    ("pool", "normal", "high"),
    [(50, {3: 1.0}, 9), (500, {0: 0.7, 40: 0.3}, 80), (2000, {0: 0.5, 1: 0.2, 30: 0.2, 900: 0.1}, 1900)],
)
def test_the_ratio_is_that_of_hypergeometric_likelihoods(
    pool: int, normal: dict[int, float], high: int
) -> None:
    test = FinitePoolSprt(pool, Mixture(tuple(normal), tuple(normal.values())), high, 0.05, 0.05)
    z, n = np.array([(z, n) for n in range(0, pool, 7) for z in range(0, n + 1, 3)]).T
    logs = [stats.hypergeom.logpmf(z, pool, count, n) + np.log(weight) for count, weight in normal.items()]
    of_normal, of_high = np.logaddexp.reduce(logs), stats.hypergeom.logpmf(z, pool, high, n)
    normal_can, high_can = np.isfinite(of_normal), np.isfinite(of_high)
    both, found = normal_can & high_can, test.log_ratio(z, n)
    assert found[both] == pytest.approx(of_normal[both] - of_high[both], abs=1e-6)
    assert (found[normal_can & ~high_can] == np.inf).all()
    assert (found[~normal_can & high_can] == -np.inf).all()
    assert both.sum() > 10


@settings(deadline=None, max_examples=40)
@given(mixtures(20, 400))
def test_in_large_pools_it_never_ends_undecided_and_keeps_its_errors(case: Case) -> None:
    test = case.test
    found = over_pool(test.boundaries(), np.arange(test.pool + 1), test.pool)
    assert found.undecided.tolist() == [0.0] * (test.pool + 1)
    assert found.normal[test.high :].max() <= test.alpha + 1e-9
    assert found.adversarial[list(test.normal.counts)] @ test.normal.weights <= test.beta + 1e-9
    assert found.mutants.max() <= test.pool + 1e-6


@pytest.mark.parametrize(("pool", "low", "high"), [(30, 2, 9), (100, 10, 20), (300, 15, 60), (500, 40, 50)])
@pytest.mark.parametrize(("alpha", "beta"), [(0.05, 0.05), (0.01, 0.2), (0.2, 0.001)])
def test_it_needs_fewer_mutants_than_the_same_test_with_replacement(
    pool: int, low: int, high: int, alpha: float, beta: float
) -> None:
    """The test with replacement is Algorithm 1 with the same bounds on its ratio, β and 1/α.

    It is cut short, which saves it mutants.
    """
    test = FinitePoolSprt.between(pool, low, high, alpha, beta)
    both = 1 - alpha * beta
    replaced = Sprt(high / pool, low / pool, alpha * (1 - beta) / both, beta * (1 - alpha) / both)
    assert (replaced.lower, replaced.upper) == pytest.approx((test.lower, test.upper))
    counts = np.array([low, high])
    with_replacement = over_stream(replaced.boundaries(5 * pool), counts / pool).mutants
    assert (over_pool(test.boundaries(), counts, pool).mutants < with_replacement).all()


@settings(deadline=None)
@given(st.lists(st.integers(0, 70), max_size=50), st.integers(1, 64))
def test_a_mixture_of_images_is_their_counts_and_one_image_spread_over_all(
    counts: list[int], threshold: int
) -> None:
    found = Mixture.of_images(np.array(counts, dtype=np.int64), threshold)
    below = [count for count in counts if count < threshold]
    assert found.counts == tuple(range(threshold))
    expected = [(below.count(k) + 1 / threshold) / (len(below) + 1) for k in range(threshold)]
    assert found.weights == pytest.approx(expected)
    assert found.largest == threshold - 1
    assert found.mean == pytest.approx((sum(below) + (threshold - 1) / 2) / (len(below) + 1))


@settings(deadline=None)
@given(st.lists(st.integers(0, 2000), max_size=50), st.integers(65, 2000))
def test_a_mixture_of_many_counts_is_one_of_64_nearby(counts: list[int], threshold: int) -> None:
    found = Mixture.of_images(np.array(counts, dtype=np.int64), threshold)
    below = [count for count in counts if count < threshold]
    gaps = np.diff(found.counts)
    assert (len(found.counts), found.counts[0], found.counts[-1]) == (64, 0, threshold - 1)
    assert 1 <= gaps.min() <= gaps.max() <= gaps.min() + 1
    expected = np.full(64, 1 / 64)
    for count in below:
        distances = [abs(count - place) for place in found.counts]
        expected[distances.index(min(distances))] += 1
    assert found.weights == pytest.approx(expected / (len(below) + 1))


@settings(deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=20), st.data())
def test_bisection_finds_the_last_count_that_meets_a_condition(most: list[int], data: st.DataObject) -> None:
    mutants = np.array(most)
    last = np.array([data.draw(st.integers(-1, n)) for n in most])

    def holds(changes: np.typing.NDArray[np.int64]) -> np.typing.NDArray[np.bool_]:
        assert (changes >= 0).all()
        assert (changes <= mutants).all()
        return changes <= last

    assert last_that(mutants, holds).tolist() == last.tolist()


@pytest.mark.parametrize(
    ("counts", "high", "alpha", "beta", "said"),
    [
        ((-1, 3), 5, 0.05, 0.05, "counts < high"),
        ((5,), 5, 0.05, 0.05, "counts < high"),
        ((2, 6), 5, 0.05, 0.05, "counts < high"),
        ((5,), 11, 0.05, 0.05, "counts < high"),
        ((), 5, 0.05, 0.05, "at least one count"),
        ((2,), 5, 0.0, 0.05, "alpha and beta"),
        ((2,), 5, 0.05, 1.0, "alpha and beta"),
        ((2,), 5, float("nan"), 0.05, "alpha and beta"),
        ((2,), 5, 0.05, -0.1, "alpha and beta"),
    ],
)
def test_hypotheses_that_make_no_test_are_refused(
    counts: tuple[int, ...], high: int, alpha: float, beta: float, said: str
) -> None:
    weights = tuple(1 / len(counts) for _ in counts)
    with pytest.raises(ValueError, match=said):
        FinitePoolSprt(10, Mixture(counts, weights), high, alpha, beta)
