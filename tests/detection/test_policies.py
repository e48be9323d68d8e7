import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.policies import Decision, ErrorBounds, SprtPolicy, advance
from detection.sprt import Sprt

WIDE = SprtPolicy("calibrated", Sprt(0.25, 0.05), 500)
NARROW = SprtPolicy("paper", Sprt(0.044 * 1.1, 0.044 * 0.9), 500)


def one_by_one(policy: SprtPolicy, changes: list[bool]) -> tuple[int, int, Decision]:
    z = 0
    for n, changed in enumerate(changes, start=1):
        z += changed
        decision = Decision(int(policy.decide(np.array([z]), np.array([n]))[0]))
        if decision != Decision.CONTINUE:
            return z, n, decision
    return z, len(changes), Decision.CONTINUE


@settings(deadline=None)
@given(
    st.sampled_from([WIDE, NARROW]),
    st.lists(st.floats(0, 1), min_size=1, max_size=6),
    st.integers(1, 200),
    st.integers(0, 2**32 - 1),
)
def test_feeding_in_blocks_changes_nothing(
    policy: SprtPolicy, rates: list[float], block: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    evidence = rng.random((len(rates), policy.pool)) < np.array(rates)[:, None]
    expected = [one_by_one(policy, row.tolist()) for row in evidence]
    for position, row in enumerate(evidence):
        z, n = np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64)
        decision = Decision.CONTINUE
        while decision == Decision.CONTINUE:
            piece = row[int(n[0]) : int(n[0]) + block][None]
            state = advance(policy, z, n, piece, np.array([piece.shape[1]]))
            z, n, decision = state.changes, state.mutants, Decision(int(state.decisions[0]))
        assert (int(z[0]), int(n[0]), decision) == expected[position]


def test_requests_of_different_lengths_do_not_read_each_others_padding() -> None:
    evidence = np.zeros((2, 13), dtype=np.bool_)
    evidence[0, 5:] = True
    state = advance(WIDE, np.zeros(2, np.int64), np.zeros(2, np.int64), evidence, np.array([5, 13]))
    assert state.mutants.tolist() == [5, 13]
    assert state.changes.tolist() == [0, 0]
    assert state.decisions.tolist() == [Decision.CONTINUE, Decision.NORMAL]


def test_an_exhausted_pool_is_no_verdict() -> None:
    policy = SprtPolicy("paper", Sprt(0.05, 0.04), 20)
    state = advance(
        policy, np.zeros(1, np.int64), np.zeros(1, np.int64), np.zeros((1, 20), np.bool_), np.array([20])
    )
    assert state.decisions.tolist() == [Decision.EXHAUSTED]


def test_a_bound_met_by_the_last_mutant_is_a_verdict() -> None:
    policy = SprtPolicy("calibrated", Sprt(0.25, 0.05), 13)
    state = advance(
        policy, np.zeros(1, np.int64), np.zeros(1, np.int64), np.zeros((1, 13), np.bool_), np.array([13])
    )
    assert state.decisions.tolist() == [Decision.NORMAL]


def test_look_ahead_never_asks_for_more_than_the_pool_has_left() -> None:
    assert NARROW.look_ahead(np.array([20, 20]), np.array([498, 499])).tolist() == [2, 1]


@pytest.mark.parametrize(("policy", "bounds"), [(WIDE, ErrorBounds(0.05, 0.05)), (NARROW, None)])
def test_error_bounds_are_null_where_the_pool_is_too_small(
    policy: SprtPolicy, bounds: ErrorBounds | None
) -> None:
    assert policy.error_bounds == bounds
