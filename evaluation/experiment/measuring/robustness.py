"""Unforeseen images: attacks by an attacker that knows the guard, corruptions, other things."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.adaptive.outcome import AttackOutcome, outcome, worst_case
from evaluation.experiment.records.intervals import counted, exact
from evaluation.experiment.records.results import AdaptiveCell, ShiftCell
from evaluation.sample_set import SampleSet

Bools = NDArray[np.bool_]

Judge = Callable[[SampleSet], Bools]
"""Function that tells which images of a set raise an alarm, bool [N].

Thresholds are those of clean calibration images.
"""

WORST = "worst case"


@dataclass(frozen=True, eq=False)
class Attacked:
    """Images that one attack made; all attacks start from the same clean ones.

    Attributes:
        attack: name of the attack.
        knowledge: ``none``, ``method`` or ``store``.
        epsilon: size of the attack.
        samples: the images, whether they fool the classifier or not.
        fools: bool [N], whether they do.
    """

    attack: str
    knowledge: str
    epsilon: float
    samples: SampleSet
    fools: Bools


def adaptive_cells(attacks: list[Attacked], judges: Mapping[str, Judge]) -> list[AdaptiveCell]:
    """Return the success of each attack against each judge, and of all of one knowledge and size.

    The worst case of a knowledge includes the attacks that take less: an attacker that has the
    store knows the method too.
    """
    cells = []
    for judge_name, judge in judges.items():
        judged = [(attacked, judge(attacked.samples)) for attacked in attacks]
        for attacked, alarm in judged:
            result = outcome(attacked.fools, alarm)
            cells.append(
                _cell(attacked.attack, attacked.knowledge, attacked.epsilon, judge_name, alarm, result)
            )
        for knowledge, epsilon in dict.fromkeys((each.knowledge, each.epsilon) for each in attacks):
            tried = [
                (attacked.fools, alarm)
                for attacked, alarm in judged
                if attacked.epsilon == epsilon and attacked.knowledge in _known(knowledge)
            ]
            fools, alarm = worst_case(tried)
            cells.append(_cell(WORST, knowledge, epsilon, judge_name, alarm, outcome(fools, alarm)))
    return cells


def shift_cell(samples: SampleSet, predicted: NDArray[np.int64], judges: Mapping[str, Judge]) -> ShiftCell:
    """Return the accuracy on shifted images, where they have a true label, and the judges' alarms.

    ``predicted`` are the classifier's labels, int64 [N].
    """
    of_a_class = samples.labels >= 0
    right = float((predicted == samples.labels)[of_a_class].mean()) if of_a_class.any() else None
    return ShiftCell(
        shift=samples.kind,
        images=len(samples),
        accuracy=right,
        alarms={name: counted(int(judge(samples).sum()), len(samples)) for name, judge in judges.items()},
    )


def _known(knowledge: str) -> tuple[str, ...]:
    ladder = ("none", "method", "store")
    return ladder[: ladder.index(knowledge) + 1]


def _cell(
    attack: str, knowledge: str, epsilon: float, judge: str, alarm: Bools, result: AttackOutcome
) -> AdaptiveCell:
    return AdaptiveCell(
        attack=attack,
        knowledge=knowledge,
        epsilon=epsilon,
        detector=judge,
        images=len(alarm),
        success=exact(result.fooled),
        detected=None if result.detected is None else exact(result.detected),
        evading=exact(result.evaded),
        robust_accuracy=exact(result.robust),
    )
