from fractions import Fraction
from math import comb
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mutant_store.pool.stopping_rule import StoppingRule, exact_rule, geometric_looks, sequential_rule


class Plan(NamedTuple):
    total: int
    needed: int
    looks: NDArray[np.int64]


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    total = draw(st.integers(1, 40))
    early = draw(st.sets(st.integers(1, total)))
    return Plan(total, draw(st.integers(-1, total)), np.array(sorted(early | {total}), dtype=np.int64))


class End(NamedTuple):
    images: int
    hits: int
    sequences: int
    accepted: bool


def ends(rule: StoppingRule) -> list[End]:
    """Return every end of a walk, with the exact number of hit and miss sequences up to it."""
    found, seen, walks = [], 0, {0: 1}
    bounds = zip(
        rule.looks.tolist(), rule.reject_at_most.tolist(), rule.accept_at_least.tolist(), strict=True
    )
    for images, reject, accept in bounds:
        step, seen = images - seen, images
        reached: dict[int, int] = {}
        for hits, sequences in walks.items():
            for more in range(step + 1):
                reached[hits + more] = reached.get(hits + more, 0) + sequences * comb(step, more)
        stopped = {hits for hits in reached if hits <= reject or hits >= accept}
        found += [End(images, hits, reached[hits], hits >= accept) for hits in stopped]
        walks = {hits: sequences for hits, sequences in reached.items() if hits not in stopped}
    assert not walks
    return found


def share(end: End, correct: int, total: int) -> Fraction:
    """Return the share of orders that end at ``end``, for a mutant right on ``correct`` images."""
    if end.hits > correct:
        return Fraction(0)
    return Fraction(end.sequences * comb(total - end.images, correct - end.hits), comb(total, correct))


def error(plan: Plan, rule: StoppingRule, correct: int) -> Fraction:
    """Return the exact probability of a wrong decision on a mutant right on ``correct`` images."""
    shares = [(share(end, correct, plan.total), end.accepted) for end in ends(rule)]
    assert sum(part for part, _ in shares) == 1
    return Fraction(sum(part for part, accepted in shares if accepted != (correct >= plan.needed)))


def errors(plan: Plan, rule: StoppingRule) -> list[Fraction]:
    return [error(plan, rule, correct) for correct in range(plan.total + 1)]


def images_used(rule: StoppingRule, correct: int) -> Fraction:
    total = int(rule.looks[-1])
    return Fraction(sum(end.images * share(end, correct, total) for end in ends(rule)))


def assert_consistent(plan: Plan, rule: StoppingRule) -> None:
    assert rule.looks.tolist() == plan.looks.tolist()
    assert rule.looks.dtype == rule.reject_at_most.dtype == rule.accept_at_least.dtype == np.int64
    assert (rule.reject_at_most < rule.accept_at_least).all()
    assert (rule.reject_at_most >= -1).all()
    needed = max(plan.needed, 0)
    assert (rule.reject_at_most[-1], rule.accept_at_least[-1]) == (needed - 1, needed)


@given(plans())
def test_the_exact_rule_never_errs_and_stops_as_soon_as_that_allows(plan: Plan) -> None:
    rule = exact_rule(*plan)
    assert_consistent(plan, rule)
    assert rule.error == 0
    assert not any(errors(plan, rule))
    for look, images in enumerate(plan.looks.tolist()):
        for hits in range(images + 1):
            goes_on = rule.reject_at_most[look] < hits < rule.accept_at_least[look]
            assert goes_on == (hits < max(plan.needed, 0) <= hits + plan.total - images)


@given(plans(), st.sampled_from([1e-6, 1e-3, 0.05, 0.2, 0.5, 0.7, 0.99]))
def test_no_mutant_is_decided_wrongly_more_often_than_stated(plan: Plan, allowed: float) -> None:
    rule = sequential_rule(*plan, allowed)
    assert_consistent(plan, rule)
    assert rule.error == allowed
    found = errors(plan, rule)
    assert max(found) <= Fraction(allowed)
    needed = max(plan.needed, 0)
    assert found == sorted(found[:needed]) + sorted(found[needed:], reverse=True)
    exact = exact_rule(*plan)
    assert all(images_used(rule, c) <= images_used(exact, c) for c in {0, needed, plan.total})


@pytest.mark.parametrize("allowed", [0.2, 0.01, 1e-6, 1e-8])
def test_the_stated_error_is_used_on_both_sides_of_the_bar(allowed: float) -> None:
    """The error stays within its bound and uses more than half of it, at tails this small too."""
    plan = Plan(400, 350, np.arange(10, 401, 10))
    rule = sequential_rule(*plan, allowed)
    for correct in (plan.needed - 1, plan.needed):
        assert 0.5 * allowed < error(plan, rule, correct) <= Fraction(allowed)


@pytest.mark.parametrize("needed", [-3, 0])
def test_a_bar_of_nothing_accepts_at_the_first_look(needed: int) -> None:
    looks = np.array([2, 9])
    for rule in (exact_rule(9, needed, looks), sequential_rule(9, needed, looks)):
        assert {end.images for end in ends(rule)} == {2}
        assert all(end.accepted for end in ends(rule))


def test_one_miss_rejects_where_every_image_is_needed() -> None:
    rule = sequential_rule(300, 300, geometric_looks(300))
    assert rule.reject_at_most.tolist() == (rule.looks - 1).tolist()


def used_and_accepted(
    rule: StoppingRule, hits: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return images used and decisions, for mutants with hits int64 [mutants, K] at the looks."""
    first = ((hits <= rule.reject_at_most) | (hits >= rule.accept_at_least)).argmax(axis=1)
    last = hits[np.arange(len(hits)), first]
    return rule.looks[first], last >= rule.accept_at_least[first]


@pytest.mark.parametrize("accuracy", [0.99, 0.97, 0.95, 0.8, 0.6, 0.2])
def test_typical_mutants_use_less_than_half_the_images_of_the_exact_rule(accuracy: float) -> None:
    total, needed = 2500, 2234
    looks = geometric_looks(total)
    right = np.tile(np.arange(total) < round(accuracy * total), (100, 1))
    order = np.random.default_rng(5).permuted(right, axis=1)
    hits = np.cumsum(order, axis=1, dtype=np.int64)[:, looks - 1]
    used, accepted = used_and_accepted(sequential_rule(total, needed, looks), hits)
    used_by_exact, exact = used_and_accepted(exact_rule(total, needed, looks), hits)
    assert accepted.tolist() == exact.tolist() == [accuracy >= 0.95] * 100
    assert used.mean() < 0.5 * used_by_exact.mean()


@given(st.integers(1, 4000), st.integers(1, 90), st.floats(1, 3), st.integers(0, 400))
def test_looks_reach_the_total_in_steps_of_a_useful_size(
    total: int, first: int, growth: float, wider: int
) -> None:
    looks = geometric_looks(total, first=first, growth=growth, largest=first + wider)
    steps = np.diff(looks, prepend=0)
    assert looks[-1] == total
    assert (steps >= min(first, total)).all()
    assert (steps < 2 * first + wider).all()
    assert (steps[:-1] <= np.maximum(np.round((growth - 1) * (looks[:-1] - steps[:-1])), first)).all()


def test_looks_are_few_early_and_regular_late() -> None:
    expected = [50, 100, 150, 200, 260, 338, 439, 571, 742, 965, 1215, 1465, 1715, 1965, 2215, 2500]
    assert geometric_looks(2500).tolist() == expected
    assert geometric_looks(99).tolist() == [99]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"total": 0}, "total"),
        ({"first": 0}, "first"),
        ({"largest": 49}, "largest"),
        ({"growth": 0.9}, "growth"),
        ({"growth": float("nan")}, "growth"),
    ],
)
def test_looks_that_cannot_be_are_refused(arguments: dict[str, float], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        geometric_looks(**({"total": 100} | arguments))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("total", "needed", "looks", "named"),
    [
        (0, 0, [0], "total"),
        (10, 11, [10], "needed"),
        (10, 5, [], "looks"),
        (10, 5, [0, 10], "looks"),
        (10, 5, [5, 5, 10], "looks"),
        (10, 5, [5, 9], "looks"),
        (10, 5, [5, 10, 11], "looks"),
    ],
)
def test_rules_that_cannot_be_are_refused(total: int, needed: int, looks: list[int], named: str) -> None:
    for rule in (exact_rule, sequential_rule):
        with pytest.raises(ValueError, match=named):
            rule(total, needed, np.array(looks, dtype=np.int64))


@pytest.mark.parametrize("wrong", [0.0, 1.0, -0.1, float("nan")])
def test_an_error_that_is_no_probability_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="error must be between"):
        sequential_rule(10, 5, np.array([10]), wrong)
