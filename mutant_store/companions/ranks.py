"""Ranks of mutants, by which robust ones, then the cheapest that see much, come first in every order."""

from collections.abc import Sequence

from mutant_guard.store.reader import COMPANION, ROBUST
from mutant_store.companions.companion import Companion

_TRAINED = "retrain"
_FIRST, _LAST = -1.0, float("inf")


def ranks_of(operators: Sequence[str], companions: Sequence[Companion]) -> list[int]:
    """Return the rank of every mutant of a pool; none where it has neither companions nor robust ones.

    Robust mutants come first: no image is cleared before one was heard. Companions and retrained
    mutants follow in the order of their work for an image, of which a retrained mutant has as much
    as the original. Mutants that are drawn see the least and come last. Mutants of one rank come in
    a secret order.

    Args:
        operators: operator of every mutant; companions come first, then robust mutants.
        companions: the companions.
    """
    if not companions and ROBUST not in operators:
        return []
    others = {ROBUST: _FIRST, _TRAINED: 1.0}
    drawn = [others.get(name, _LAST) for name in operators if name != COMPANION]
    work = [companion.relative_cost for companion in companions] + drawn
    places = {cost: rank for rank, cost in enumerate(sorted(set(work)))}
    return [places[cost] for cost in work]
