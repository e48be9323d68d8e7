"""Ranks of mutants, by which the cheapest of those that see much come first in every order."""

from collections.abc import Sequence

from mutant_guard.store.reader import COMPANION
from mutant_store.companions.companion import Companion

_TRAINED = "retrain"
_LAST = float("inf")


def ranks_of(operators: Sequence[str], companions: Sequence[Companion]) -> list[int]:
    """Return the rank of every mutant of a pool; none where a pool has no companions.

    Companions and retrained mutants come in the order of their work for an image, of which a
    retrained mutant has as much as the original. Mutants that are drawn see the least and come
    last. Mutants of one rank come in a secret order.

    Args:
        operators: operator of every mutant; companions come first.
        companions: the companions.
    """
    if not companions:
        return []
    drawn = [1.0 if name == _TRAINED else _LAST for name in operators if name != COMPANION]
    work = [companion.relative_cost for companion in companions] + drawn
    places = {cost: rank for rank, cost in enumerate(sorted(set(work)))}
    return [places[cost] for cost in work]
