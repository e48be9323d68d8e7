from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.sprt import Sprt, characteristic

rates = st.tuples(st.floats(0.001, 0.98), st.floats(0.001, 0.98)).filter(
    lambda pair: pair[0] + 0.005 < pair[1]
)


def algorithm_1(changes: list[bool], p0: float, p1: float, alpha: float, beta: float) -> tuple[str, int]:
    """The paper's Algorithm 1 written down naively in exact products of logs, bounds checked after every mutant."""
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


@given(
    rates,
    st.lists(st.booleans(), max_size=80),
    st.sampled_from([0.01, 0.05, 0.2]),
    st.sampled_from([0.02, 0.1]),
)
def test_bounds_are_those_of_algorithm_1(
    pair: tuple[float, float], changes: list[bool], alpha: float, beta: float
) -> None:
    p1, p0 = pair
    test = Sprt(p0, p1, alpha, beta)
    z, n = np.cumsum(changes, dtype=np.int64), np.arange(1, len(changes) + 1)
    adversarial, normal = test.is_adversarial(z, n), test.is_normal(z, n)
    ended = np.flatnonzero(adversarial | normal)
    found = ("undecided", len(changes))
    if ended.size:
        found = ("adversarial" if adversarial[ended[0]] else "normal", int(ended[0]) + 1)
    assert found == algorithm_1(changes, p0, p1, alpha, beta)


def test_an_input_whose_label_never_changes_is_accepted() -> None:
    test = Sprt(0.25, 0.05)
    n = np.arange(1, 40)
    first = int(n[test.is_normal(np.zeros_like(n), n)][0])
    assert first == int(np.ceil(log(0.95 / 0.05) / log(0.95 / 0.75)))


def test_the_current_mutant_counts() -> None:
    """With p1 tiny one label change decides, so the very mutant that changes it must end the test."""
    test = Sprt(0.9, 0.001)
    assert test.is_adversarial(np.array([1]), np.array([1])).tolist() == [True]


@given(rates, st.integers(0, 30), st.integers(0, 30))
def test_look_ahead_is_the_first_step_that_can_decide(pair: tuple[float, float], z: int, same: int) -> None:
    test = Sprt(pair[1], pair[0])
    n = z + same
    state = np.array([z]), np.array([n])
    if test.is_normal(*state)[0] or test.is_adversarial(*state)[0]:
        return
    step = int(test.look_ahead(*state)[0])
    for k in range(1, min(step, 400) + 1):
        possible = test.is_normal(np.array([z]), np.array([n + k]))[0]
        possible |= test.is_adversarial(np.array([z + k]), np.array([n + k]))[0]
        assert possible == (k == step)


@pytest.mark.parametrize(
    ("p0", "p1", "alpha", "beta"),
    [
        (0.1, 0.1, 0.05, 0.05),
        (0.1, 0.2, 0.05, 0.05),
        (1.0, 0.5, 0.05, 0.05),
        (0.5, 0.0, 0.05, 0.05),
        (0.5, 0.1, 0, 0.05),
        (0.5, 0.1, 0.6, 0.5),
    ],
)
def test_hypotheses_that_make_no_test_are_refused(p0: float, p1: float, alpha: float, beta: float) -> None:
    with pytest.raises(ValueError, match="need"):
        Sprt(p0, p1, alpha, beta)


@given(rates, st.floats(0.01, 0.99), st.integers(1, 9))
def test_characteristic_is_what_enumeration_gives(pair: tuple[float, float], rate: float, pool: int) -> None:
    test = Sprt(pair[1], pair[0], 0.2, 0.2)
    expected = {"normal": 0.0, "adversarial": 0.0, "undecided": 0.0}
    mutants = 0.0
    for bits in range(2**pool):
        changes = [bool(bits >> i & 1) for i in range(pool)]
        weight = rate ** sum(changes) * (1 - rate) ** (pool - sum(changes))
        end, used = algorithm_1(changes, test.p0, test.p1, 0.2, 0.2)
        expected[end] += weight
        mutants += weight * used
    found = characteristic(test, rate, pool)
    assert (found.normal, found.adversarial, found.undecided) == pytest.approx(
        tuple(expected.values()), abs=1e-9
    )
    assert found.mutants == pytest.approx(mutants)


def test_errors_stay_within_walds_bounds_at_the_hypotheses() -> None:
    test = Sprt(0.25, 0.05, 0.05, 0.05)
    misses = characteristic(test, test.p0, 2000).normal
    false_alarms = characteristic(test, test.p1, 2000).adversarial
    assert misses <= 0.05 / 0.95
    assert false_alarms <= 0.05 / 0.95
    assert misses + false_alarms <= 0.1
