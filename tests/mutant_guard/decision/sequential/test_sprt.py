from fractions import Fraction
from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mutant_guard.decision.sequential.sprt import Sprt
from tests.mutant_guard.decision.exhaustive import End, reached, rule_of, walk

rates = st.tuples(st.floats(0.001, 0.98), st.floats(0.001, 0.98)).filter(
    lambda pair: pair[0] + 0.005 < pair[1]
)


def algorithm_1(changes: list[bool], p0: float, p1: float, alpha: float, beta: float) -> tuple[End, int]:
    """Run the paper's Algorithm 1 naively in exact products of logs, one mutant at a time."""
    z = n = 0
    for changed in changes:
        n += 1
        z += changed
        ratio = z * log(p1) + (n - z) * log(1 - p1) - z * log(p0) - (n - z) * log(1 - p0)
        if ratio <= log(beta / (1 - alpha)):
            return "adversarial", n
        if ratio >= log((1 - beta) / alpha):
            return "normal", n
    return "undecided", n


@settings(deadline=None)
@given(
    rates,
    st.lists(st.booleans(), min_size=1, max_size=80),
    st.sampled_from([0.01, 0.05, 0.2]),
    st.sampled_from([0.02, 0.1]),
)
def test_it_ends_where_algorithm_1_does(
    pair: tuple[float, float], changes: list[bool], alpha: float, beta: float
) -> None:
    p1, p0 = pair
    test = Sprt(p0, p1, alpha, beta)
    expected = algorithm_1(changes, p0, p1, alpha, beta)
    z, n = np.cumsum(changes, dtype=np.int64), np.arange(1, len(changes) + 1)
    adversarial, normal = test.is_adversarial(z, n), test.is_normal(z, n)
    ended = np.flatnonzero(adversarial | normal)
    found: tuple[End, int] = ("undecided", len(changes))
    if ended.size:
        found = ("adversarial" if adversarial[ended[0]] else "normal", int(ended[0]) + 1)
    assert found == expected
    assert walk(rule_of(test.boundaries(len(changes))), changes) == expected


@settings(deadline=None)
@given(rates, st.floats(0.001, 0.6), st.floats(0.001, 0.39), st.integers(1, 60))
def test_boundaries_decide_what_the_ratio_does(
    pair: tuple[float, float], alpha: float, beta: float, mutants: int
) -> None:
    test = Sprt(pair[1], pair[0], alpha, beta)
    boundaries = test.boundaries(mutants)
    assert boundaries.mutants == mutants
    z, n = np.array([(z, n) for n in range(mutants + 1) for z in range(n + 1)]).T
    assert boundaries.is_normal(z, n).tolist() == test.is_normal(z, n).tolist()
    assert boundaries.is_adversarial(z, n).tolist() == test.is_adversarial(z, n).tolist()


@pytest.mark.parametrize("odds", [2, 3, 9])
@pytest.mark.parametrize("excess", [1, 2, 3, 4])
def test_a_bound_met_exactly_decides(odds: int, excess: int) -> None:
    """Rates and errors of such odds make the ratio and its bounds powers of the odds."""
    rate, error = odds / (1 + odds), 1 / (1 + odds**excess)
    test = Sprt(rate, 1 - rate, error, error)
    z, n = np.array([(z, n) for n in range(101) for z in range(n + 1)]).T
    for made in (test, test.boundaries(100)):
        assert made.is_adversarial(z, n).tolist() == (2 * z - n >= excess).tolist()
        assert made.is_normal(z, n).tolist() == (n - 2 * z >= excess).tolist()


@st.composite
def simple_tests(draw: st.DrawFn) -> tuple[Fraction, Fraction, Fraction, Fraction]:
    """Draw rates and errors with so few parts that the ratio often meets a bound exactly."""
    parts = draw(st.integers(3, 12))
    p1 = draw(st.integers(1, parts - 2))
    p0 = draw(st.integers(p1 + 1, parts - 1))
    alpha, beta = draw(st.integers(1, 10)), draw(st.integers(1, 10))
    return Fraction(p0, parts), Fraction(p1, parts), Fraction(alpha, 21), Fraction(beta, 21)


@settings(deadline=None)
@given(simple_tests())
def test_boundaries_are_those_of_the_ratio_in_fractions(
    case: tuple[Fraction, Fraction, Fraction, Fraction],
) -> None:
    p0, p1, alpha, beta = case

    def rule(changes: int, mutants: int) -> End:
        ratio = (p1 / p0) ** changes * ((1 - p1) / (1 - p0)) ** (mutants - changes)
        if ratio <= beta / (1 - alpha):
            return "adversarial"
        return "normal" if ratio >= (1 - beta) / alpha else "undecided"

    boundaries = Sprt(float(p0), float(p1), float(alpha), float(beta)).boundaries(25)
    assert reached(rule_of(boundaries), 25) == reached(rule, 25)


def test_an_input_whose_label_never_changes_is_accepted() -> None:
    test = Sprt(0.25, 0.05)
    n = np.arange(1, 40)
    first = int(n[test.is_normal(np.zeros_like(n), n)][0])
    assert first == int(np.ceil(log(0.95 / 0.05) / log(0.95 / 0.75)))


def test_the_current_mutant_counts() -> None:
    """A tiny p1 lets one label change decide, so the mutant that changes it must end the test."""
    test = Sprt(0.9, 0.001)
    assert test.is_adversarial(np.array([1]), np.array([1])).tolist() == [True]
    assert test.boundaries(5).adversarial_at_least[1] == 1


@pytest.mark.parametrize(
    ("p0", "p1", "alpha", "beta"),
    [
        (0.1, 0.1, 0.05, 0.05),
        (0.1, 0.2, 0.05, 0.05),
        (1.0, 0.5, 0.05, 0.05),
        (0.5, 0.0, 0.05, 0.05),
        (0.5, 0.1, 0, 0.05),
        (0.5, 0.1, 0.05, 0),
        (0.5, 0.1, 0.6, 0.5),
        (float("nan"), 0.1, 0.05, 0.05),
    ],
)
def test_hypotheses_that_make_no_test_are_refused(p0: float, p1: float, alpha: float, beta: float) -> None:
    with pytest.raises(ValueError, match="need"):
        Sprt(p0, p1, alpha, beta)
