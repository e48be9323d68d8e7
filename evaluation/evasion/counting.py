"""Evasion counted: of each attack, and of the strongest of all on each image."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.adaptive.strongest.settings import AttackSettings, Norm
from evaluation.evasion.blocks import Bools, Found
from evaluation.evasion.results import EvasionCell
from evaluation.experiment.records.intervals import counted

STRONGEST = "strongest"
"""Name of the best of all attacks of an image."""

_QUARTERS = 4


@dataclass(frozen=True, eq=False)
class Attempt:
    """Attack of a size, and what it found.

    Attributes:
        settings: the attack.
        size: largest change.
        found: what it found.
        budget: number of steps, or questions, that an image may take.
    """

    settings: AttackSettings
    size: float
    found: Found
    budget: int


def cell(attempt: Attempt, place: int, policy: str) -> EvasionCell:
    """Return the success of an attack against the policy at a place."""
    found, settings = attempt.found, attempt.settings
    return _cell(
        settings.name,
        settings.knowledge,
        settings.norm,
        attempt.size,
        policy,
        found.evaded[place],
        found.fooled,
        [] if settings.knowledge == "method" else _after(found.spent[place], attempt.budget),
    )


def strongest(
    attempts: list[Attempt], place: int, policy: str, proved: Mapping[float, Bools]
) -> list[EvasionCell]:
    """Return, by norm and size, the success of all attacks together, image by image.

    An image counts where any attack of the norm evades at this size or a smaller one.

    Args:
        attempts: the attacks.
        place: place of the policy.
        policy: its name.
        proved: by size in L∞, which images are proved, bool [N]; nothing where nothing can be.
    """
    cells = []
    for norm, size in dict.fromkeys((attempt.settings.norm, attempt.size) for attempt in attempts):
        evaded, fooled = union(attempts, place, norm, size)
        made = _cell(STRONGEST, "store", norm, size, policy, evaded, fooled, [])
        if norm == "linf" and size in proved:
            held = counted(int(proved[size].sum()), len(evaded))
            made = made.model_copy(update={"proved": held})
        cells.append(made)
    return sorted(cells, key=lambda found: (found.norm != "linf", found.norm, found.size))


def union(attempts: list[Attempt], place: int, norm: Norm, size: float) -> tuple[Bools, Bools]:
    """Return which images any attack of a norm evades on, and fools, up to a size: bool [N]."""
    tried = [each for each in attempts if each.settings.norm == norm and each.size <= size]
    evaded = np.any([each.found.evaded[place] for each in tried], axis=0)
    return np.asarray(evaded), np.asarray(np.any([each.found.fooled for each in tried], axis=0))


def _cell(
    attack: str,
    knowledge: str,
    norm: str,
    size: float,
    policy: str,
    evaded: Bools,
    fooled: Bools,
    after: list[float],
) -> EvasionCell:
    count = len(evaded)
    return EvasionCell(
        attack=attack,
        knowledge=knowledge,
        norm=norm,
        size=size,
        policy=policy,
        images=count,
        fooled=counted(int(fooled.sum()), count),
        evading=counted(int(evaded.sum()), count),
        after=after,
    )


def _after(spent: NDArray[np.int64], budget: int) -> list[float]:
    """Return the share that evades after each quarter of the budget."""
    there = spent >= 0
    return [
        round(float((there & (spent * _QUARTERS <= budget * quarter)).mean()), 4)
        for quarter in range(1, _QUARTERS + 1)
    ]
