"""Naive references: every order of a pool, walked one mutant at a time, in exact fractions."""

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from itertools import combinations, product
from typing import Literal, NamedTuple

import numpy as np
from hypothesis import strategies as st

from mutant_guard.decision.sequential.boundaries import Boundaries

End = Literal["normal", "adversarial", "undecided"]
# Decision of a test, by the number of label changes and of mutants.
Rule = Callable[[int, int], End]


class Shares(NamedTuple):
    """Probabilities of the three ends, and the expected number of mutants."""

    normal: Fraction
    adversarial: Fraction
    undecided: Fraction
    mutants: Fraction


def walk(rule: Rule, labels: Iterable[bool]) -> tuple[End, int]:
    changes = mutants = 0
    for changed in labels:
        mutants += 1
        changes += changed
        end = rule(changes, mutants)
        if end != "undecided":
            return end, mutants
    return "undecided", mutants


def orders(pool: int, count: int) -> Iterator[tuple[bool, ...]]:
    """Yield all arrangements of ``count`` label changes among the mutants of a pool."""
    for places in combinations(range(pool), count):
        yield tuple(place in places for place in range(pool))


def over_orders(rule: Rule, pool: int, count: int, mutants: int | None = None) -> Shares:
    """Evaluate a test of at most ``mutants`` mutants (default: all) over all orders of a pool."""
    ways = [walk(rule, labels[:mutants]) for labels in orders(pool, count)]
    return _weighed((end, used, Fraction(1, len(ways))) for end, used in ways)


def over_sequences(rule: Rule, mutants: int, rate: Fraction) -> Shares:
    """Evaluate a test on independent label changes, each with probability ``rate``."""

    def probability(labels: tuple[bool, ...]) -> Fraction:
        return rate ** sum(labels) * (1 - rate) ** (mutants - sum(labels))

    return _weighed(
        (*walk(rule, labels), probability(labels)) for labels in product((False, True), repeat=mutants)
    )


def rule_of(boundaries: Boundaries) -> Rule:
    normal, adversarial = boundaries.normal_at_most.tolist(), boundaries.adversarial_at_least.tolist()

    def rule(changes: int, mutants: int) -> End:
        if changes <= normal[mutants]:
            return "normal"
        return "adversarial" if changes >= adversarial[mutants] else "undecided"

    return rule


def reached(rule: Rule, mutants: int) -> dict[tuple[int, int], End]:
    """Return the test's decision at every (changes, mutants) that some order reaches."""
    said: dict[tuple[int, int], End] = {}
    going = {0}
    for n in range(1, mutants + 1):
        states = going | {z + 1 for z in going}
        said |= {(z, n): rule(z, n) for z in states}
        going = {z for z in states if said[z, n] == "undecided"}
    return said


@st.composite
def all_boundaries(draw: st.DrawFn, most: int = 8) -> Boundaries:
    """Draw any test of at most ``most`` mutants.

    Some tests are gradual, some jump, and some never end.
    """
    mutants = draw(st.integers(1, most))
    normal, unchanged = [-1], [-1]
    steps = st.one_of(st.just(0), st.integers(0, 1), st.integers(0, most))
    for n in range(1, mutants + 1):
        room = n - 1 - normal[-1] - unchanged[-1]
        first = min(draw(steps), room)
        second = min(draw(steps), room - first)
        more_normal, more_adversarial = draw(st.permutations((first, second)))
        normal.append(normal[-1] + more_normal)
        unchanged.append(unchanged[-1] + more_adversarial)
    return Boundaries(np.array(normal), np.arange(mutants + 1) - np.array(unchanged))


def _weighed(ways: Iterable[tuple[End, int, Fraction]]) -> Shares:
    shares: dict[End, Fraction] = dict.fromkeys(("normal", "adversarial", "undecided"), Fraction(0))
    mutants = Fraction(0)
    for end, used, weight in ways:
        shares[end] += weight
        mutants += used * weight
    assert sum(shares.values()) == 1
    return Shares(shares["normal"], shares["adversarial"], shares["undecided"], mutants)
