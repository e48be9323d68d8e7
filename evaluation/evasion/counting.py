"""Evasion counted: of each attack, and of the strongest of all on each image."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.adaptive.strongest.settings import AttackSettings
from evaluation.evasion.blocks import Found
from evaluation.evasion.results import EvasionCell
from evaluation.experiment.records.intervals import counted

STRONGEST = "strongest"
"""Name of the best of all attacks of an image."""

_QUARTERS = 4


@dataclass(frozen=True, eq=False)
class Attempt:
    """Attack of a size, and what it found."""

    settings: AttackSettings
    size: float
    found: Found


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
        [] if settings.knowledge == "method" else _after(found.spent[place]),
    )


def strongest(attempts: list[Attempt], place: int, policy: str) -> list[EvasionCell]:
    """Return, by norm and size, the success of all attacks together, image by image.

    An image counts where any attack of the norm evades at this size or a smaller one.
    """
    cells = []
    for norm, size in dict.fromkeys((attempt.settings.norm, attempt.size) for attempt in attempts):
        tried = [each for each in attempts if each.settings.norm == norm and each.size <= size]
        evaded = np.any([each.found.evaded[place] for each in tried], axis=0)
        fooled = np.any([each.found.fooled for each in tried], axis=0)
        cells.append(_cell(STRONGEST, "store", norm, size, policy, evaded, fooled, []))
    return sorted(cells, key=lambda found: (found.norm != "linf", found.norm, found.size))


def _cell(
    attack: str,
    knowledge: str,
    norm: str,
    size: float,
    policy: str,
    evaded: NDArray[np.bool_],
    fooled: NDArray[np.bool_],
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


def _after(spent: NDArray[np.int64]) -> list[float]:
    """Return the share that evades after each quarter of the most steps that any image took."""
    there = spent >= 0
    most = int(spent.max(initial=0))
    return [
        round(float((there & (spent * _QUARTERS <= most * quarter)).mean()), 4)
        for quarter in range(1, _QUARTERS + 1)
    ]
