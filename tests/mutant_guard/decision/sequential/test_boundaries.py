import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mutant_guard.decision.sequential.boundaries import Boundaries
from tests.mutant_guard.decision.exhaustive import all_boundaries, rule_of


def grid(mutants: int) -> list[tuple[int, int]]:
    """Return every possible (changes, mutants)."""
    return [(z, n) for n in range(mutants + 1) for z in range(n + 1)]


@settings(deadline=None)
@given(all_boundaries())
def test_a_decision_is_a_count_beyond_a_boundary(boundaries: Boundaries) -> None:
    z, n = np.array(grid(boundaries.mutants)).T
    rule = rule_of(boundaries)
    expected = [rule(*state) for state in grid(boundaries.mutants)]
    assert boundaries.is_normal(z, n).tolist() == [end == "normal" for end in expected]
    assert boundaries.is_adversarial(z, n).tolist() == [end == "adversarial" for end in expected]


@settings(deadline=None)
@given(all_boundaries())
def test_more_evidence_of_the_same_kind_loses_no_decision(boundaries: Boundaries) -> None:
    z, n = np.array(grid(boundaries.mutants - 1)).T
    assert (boundaries.is_normal(z, n) <= boundaries.is_normal(z, n + 1)).all()
    assert (boundaries.is_adversarial(z, n) <= boundaries.is_adversarial(z + 1, n + 1)).all()


def nearest(boundaries: Boundaries, changes: int, mutants: int) -> int:
    """Return the least k for which some continuation by k further mutants is decided.

    All continuations are tried.
    """
    rule, left = rule_of(boundaries), boundaries.mutants - mutants
    for k in range(1, left + 1):
        if any(rule(changes + more, mutants + k) != "undecided" for more in range(k + 1)):
            return k
    return max(left, 1)


@settings(deadline=None)
@given(all_boundaries(12))
def test_look_ahead_is_the_nearest_decision_of_any_continuation(boundaries: Boundaries) -> None:
    rule = rule_of(boundaries)
    undecided = [state for state in grid(boundaries.mutants) if rule(*state) == "undecided"]
    z, n = np.array(undecided).T
    assert boundaries.look_ahead(z, n).tolist() == [nearest(boundaries, *state) for state in undecided]


def first_clear(boundaries: Boundaries, changes: int, mutants: int) -> int:
    """Return the least k for which k further unchanged labels make the input normal.

    Every k is tried.
    """
    rule, left = rule_of(boundaries), boundaries.mutants - mutants
    clear = (k for k in range(1, left + 1) if rule(changes, mutants + k) == "normal")
    return next(clear, max(left, 1))


@settings(deadline=None)
@given(all_boundaries(12))
def test_clearing_is_the_nearest_place_to_be_normal_and_no_nearer_than_any_decision(
    boundaries: Boundaries,
) -> None:
    rule = rule_of(boundaries)
    undecided = [state for state in grid(boundaries.mutants) if rule(*state) == "undecided"]
    z, n = np.array(undecided).T
    found = boundaries.clearing(z, n)
    assert found.tolist() == [first_clear(boundaries, *state) for state in undecided]
    assert (found >= boundaries.look_ahead(z, n)).all()


@settings(deadline=None)
@given(all_boundaries(), st.integers(1, 10))
def test_an_ended_test_decides_like_the_whole_one_until_then(boundaries: Boundaries, mutants: int) -> None:
    ended = boundaries.until(mutants)
    assert ended.mutants == min(mutants, boundaries.mutants)
    assert ended.normal_at_most.tolist() == boundaries.normal_at_most[: ended.mutants + 1].tolist()
    assert (
        ended.adversarial_at_least.tolist() == boundaries.adversarial_at_least[: ended.mutants + 1].tolist()
    )


@pytest.mark.parametrize("mutants", [0, -1, -3])
def test_a_test_of_no_mutants_is_refused(mutants: int) -> None:
    whole = Boundaries(np.full(11, -1), np.arange(11) + 1)
    with pytest.raises(ValueError, match=r"need two rows|at least one"):
        whole.until(mutants)


@pytest.mark.parametrize(
    ("normal", "adversarial", "said"),
    [
        ([-1], [1], "at least 2 numbers"),
        ([-1, 0, 0], [1, 2], "two rows"),
        ([[-1, 0]], [[1, 2]], "two rows"),
        ([0, 0], [1, 2], "before the first mutant"),
        ([-1, 0], [0, 1], "before the first mutant"),
        ([-1, 0], [2, 2], "before the first mutant"),
        ([-1, 1], [1, 1], "both normal and adversarial"),
        ([-1, 0, 1], [1, 2, 1], "both normal and adversarial"),
        ([-1, 0, -1], [1, 2, 3], "must not be lost"),
        ([-1, -1, -1], [1, 1, 3], "must not be lost"),
    ],
)
def test_rows_that_make_no_test_are_refused(normal: list[int], adversarial: list[int], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Boundaries(np.array(normal), np.array(adversarial))
