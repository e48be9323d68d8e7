from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mutant_guard.decision.sequential.boundaries import Boundaries
from mutant_guard.decision.sequential.builders import fixed, sequential, without_replacement
from mutant_guard.decision.sequential.finite_pool import FinitePoolSprt
from mutant_guard.decision.sequential.policies import (
    Decision,
    ErrorBounds,
    Hypotheses,
    Policy,
    State,
    advance,
)
from mutant_guard.decision.sequential.sprt import Sprt
from tests.mutant_guard.decision.exhaustive import all_boundaries, over_orders, rule_of, walk

WIDE = sequential("algorithm 1", Sprt(0.25, 0.05), 500)
NARROW = sequential("paper", Sprt(0.044 * 1.1, 0.044 * 0.9), 500)
FINITE = without_replacement("calibrated", FinitePoolSprt.between(500, 40, 80, 0.05, 0.01), 0.01)
FIXED = fixed("fixed", 40, 8, 500, ErrorBounds(0.05, 0.05))
CAPPED = FINITE.up_to(30)
DECISIONS = {"normal": Decision.NORMAL, "adversarial": Decision.ADVERSARIAL}


def feed(policy: Policy, labels: list[bool]) -> State:
    """Feed a policy all mutants of one request at once."""
    start = np.zeros(1, dtype=np.int64)
    return advance(policy, start, start, np.array([labels]), np.array([len(labels)]))


def one_by_one(policy: Policy, labels: list[bool]) -> tuple[int, int, Decision]:
    """Feed a policy one mutant at a time.

    Returns:
        Label changes, mutants and decision.
    """
    end, mutants = walk(rule_of(policy.boundaries), labels[: policy.mutants])
    last = Decision.CAPPED if policy.capped else Decision.EXHAUSTED
    return sum(labels[:mutants]), mutants, DECISIONS.get(end, last)


@settings(deadline=None)
@given(
    st.sampled_from([WIDE, NARROW, FINITE, FIXED, CAPPED]),
    st.lists(st.floats(0, 1), min_size=1, max_size=6),
    st.integers(1, 200),
    st.integers(0, 2**32 - 1),
)
def test_feeding_in_blocks_changes_nothing(policy: Policy, rates: list[float], block: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    evidence = rng.random((len(rates), policy.pool)) < np.array(rates)[:, None]
    for row in evidence:
        z, n = np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64)
        decision = Decision.CONTINUE
        while decision == Decision.CONTINUE:
            piece = row[int(n[0]) : int(n[0]) + block][None]
            state = advance(policy, z, n, piece, np.array([piece.shape[1]]))
            z, n, decision = state.changes, state.mutants, Decision(int(state.decisions[0]))
        assert (int(z[0]), int(n[0]), decision) == one_by_one(policy, row.tolist())


@settings(deadline=None)
@given(st.sampled_from([WIDE, FINITE, FIXED, CAPPED]), st.integers(0, 2**32 - 1))
def test_requests_fed_together_do_not_touch_each_other(policy: Policy, seed: int) -> None:
    """Requests do not affect each other, whatever their progress and their own evidence."""
    rng = np.random.default_rng(seed)
    before = rng.integers(0, policy.mutants, 12)
    changes = rng.integers(0, before + 1)
    evidence = rng.random((12, 60)) < rng.random((12, 1))
    lengths = rng.integers(1, 61, 12)
    together = advance(policy, changes, before, evidence, lengths)
    for one, length in enumerate(lengths):
        own = evidence[one : one + 1, :length]
        alone = advance(policy, changes[one : one + 1], before[one : one + 1], own, lengths[one : one + 1])
        assert together.changes[one] == alone.changes[0]
        assert together.mutants[one] == alone.mutants[0]
        assert together.decisions[one] == alone.decisions[0]


def test_requests_of_different_lengths_do_not_read_each_others_padding() -> None:
    evidence = np.zeros((2, 13), dtype=np.bool_)
    evidence[0, 5:] = True
    state = advance(WIDE, np.zeros(2, np.int64), np.zeros(2, np.int64), evidence, np.array([5, 13]))
    assert state.mutants.tolist() == [5, 13]
    assert state.changes.tolist() == [0, 0]
    assert state.decisions.tolist() == [Decision.CONTINUE, Decision.NORMAL]


def test_evidence_behind_the_last_mutant_is_not_read() -> None:
    policy = sequential("short", Sprt(0.05, 0.04), 20)
    state = feed(policy, [False] * 20 + [True] * 50)
    assert (state.changes[0], state.mutants[0], state.decisions[0]) == (0, 20, Decision.EXHAUSTED)


def test_an_exhausted_pool_is_no_verdict() -> None:
    policy = sequential("paper", Sprt(0.05, 0.04), 20)
    assert feed(policy, [False] * 19).decisions.tolist() == [Decision.CONTINUE]
    assert feed(policy, [False] * 20).decisions.tolist() == [Decision.EXHAUSTED]


def test_a_cap_that_ends_the_test_is_no_verdict_and_no_exhausted_pool() -> None:
    policy = WIDE.up_to(12)
    assert policy.mutants == 12
    assert feed(policy, [False] * 11).decisions.tolist() == [Decision.CONTINUE]
    assert feed(policy, [False] * 12).decisions.tolist() == [Decision.CAPPED]


@pytest.mark.parametrize("policy", [WIDE.up_to(13), sequential("short", Sprt(0.25, 0.05), 13)])
def test_a_bound_met_by_the_last_mutant_is_a_verdict(policy: Policy) -> None:
    assert feed(policy, [False] * 12).decisions.tolist() == [Decision.CONTINUE]
    assert feed(policy, [False] * 13).decisions.tolist() == [Decision.NORMAL]


@settings(deadline=None)
@given(all_boundaries(), st.booleans())
def test_decisions_are_those_of_the_boundaries(boundaries: Boundaries, capped: bool) -> None:
    policy = Policy("any", boundaries, 9, Hypotheses(1, 5), ErrorBounds(0.05, 0.05), capped=capped)
    rule, most = rule_of(boundaries), policy.mutants
    states = [(z, n) for n in range(1, most + 4) for z in range(n + 1)]
    found = policy.decide(*np.array(states).T)
    for (z, n), decision in zip(states, found, strict=True):
        last = (Decision.CAPPED if capped else Decision.EXHAUSTED) if n >= most else Decision.CONTINUE
        assert decision == DECISIONS.get(rule(z, min(n, most)), last)


def test_look_ahead_never_asks_for_more_than_the_pool_has_left() -> None:
    assert NARROW.look_ahead(np.array([20, 20]), np.array([498, 499])).tolist() == [2, 1]


@settings(deadline=None)
@given(all_boundaries(), st.integers(0, 1), st.data())
def test_error_bounds_are_the_targets_where_every_order_keeps_them(
    boundaries: Boundaries, unused: int, data: st.DataObject
) -> None:
    pool = boundaries.mutants + unused
    low = data.draw(st.integers(0, pool - 1))
    high = data.draw(st.integers(low + 1, pool))
    alpha, beta = (Fraction(data.draw(st.integers(0, 20)), 20) for _ in range(2))
    of_low, of_high = (
        over_orders(rule_of(boundaries), pool, count, boundaries.mutants) for count in (low, high)
    )
    kept = 1 - of_high.adversarial <= alpha and 1 - of_low.normal <= beta
    targets = ErrorBounds(float(alpha), float(beta))
    policy = Policy("any", boundaries, pool, Hypotheses(low, high), targets)
    assert policy.error_bounds == (targets if kept else None)


@pytest.mark.parametrize(
    ("policy", "bounds"),
    [
        (WIDE, ErrorBounds(0.05, 0.05)),
        (NARROW, None),
        (FINITE, ErrorBounds(0.05, 0.01)),
        (
            without_replacement("narrow", FinitePoolSprt.between(500, 20, 24, 0.05, 0.01), 0.01),
            ErrorBounds(0.05, 0.01),
        ),
        (FIXED, ErrorBounds(0.05, 0.05)),
        (FINITE.up_to(400), ErrorBounds(0.05, 0.01)),
        (CAPPED, None),
        (FIXED.up_to(39), None),
    ],
    ids=["wide", "narrow", "finite", "narrow finite", "fixed", "high cap", "low cap", "cut short"],
)
def test_error_bounds_are_null_where_pool_or_cap_is_too_small(
    policy: Policy, bounds: ErrorBounds | None
) -> None:
    assert policy.error_bounds == bounds


def test_a_cap_changes_only_where_the_test_ends() -> None:
    capped = FINITE.up_to(30)
    assert capped.boundaries.normal_at_most.tolist() == FINITE.boundaries.normal_at_most[:31].tolist()
    assert (capped.name, capped.pool, capped.hypotheses, capped.targets, capped.statistic) == (
        FINITE.name,
        FINITE.pool,
        FINITE.hypotheses,
        FINITE.targets,
        FINITE.statistic,
    )
    assert (capped.capped, FINITE.capped) == (True, False)
    assert capped.up_to(40).mutants == 30
    assert capped.up_to(20).mutants == 20


@pytest.mark.parametrize("mutants", [500, 501, 10**9])
def test_a_cap_the_test_never_meets_is_none(mutants: int) -> None:
    assert FINITE.up_to(mutants) is FINITE


@pytest.mark.parametrize("mutants", [0, -1, -600])
def test_a_cap_below_one_mutant_is_refused(mutants: int) -> None:
    with pytest.raises(ValueError, match="at least one mutant"):
        FINITE.up_to(mutants)


def test_a_clean_input_goes_to_where_it_is_cleared_and_another_no_further_than_its_look_ahead() -> None:
    policy = sequential("test", Sprt(0.25, 0.05), 200)
    none = np.zeros(1, np.int64)
    first = int(policy.boundaries.clearing(none, none)[0])
    assert policy.next_stop(none, none).tolist() == [first]
    assert int(policy.look_ahead(none, none)[0]) < first  # an alarm could come sooner, but hardly ever does
    met = np.full(20, first)
    changes = np.arange(20)
    stops, ahead = policy.next_stop(changes, met), policy.look_ahead(changes, met)
    clearing = policy.boundaries.clearing(changes, met)
    assert (clearing > first).any()
    assert stops.tolist() == [
        min(to_clear, max(look, first))
        for to_clear, look in zip(clearing.tolist(), ahead.tolist(), strict=True)
    ]
    assert (stops >= np.minimum(ahead, clearing)).all()
