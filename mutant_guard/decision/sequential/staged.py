"""Sequential test on summed doubts: it clears in stages, and raises an alarm at a threshold."""

from dataclasses import dataclass

import numpy as np

from mutant_guard.decision.evidence.kinds import Doubts
from mutant_guard.decision.sequential.boundaries import Boundaries
from mutant_guard.decision.sequential.policies import Policy


@dataclass(frozen=True)
class Stage:
    """Stage of a test: a number of mutants, and a bound.

    After ``mutants`` mutants an image is normal where its summed doubt is at most ``at_most``
    units.
    """

    mutants: int
    at_most: int


@dataclass(frozen=True)
class Alarm:
    """Early alarm of a test: a number of mutants, and a bound.

    After ``mutants`` mutants an image is adversarial where its summed doubt is at least
    ``at_least`` units.
    """

    mutants: int
    at_least: int


def staged(
    name: str,
    evidence: Doubts,
    threshold: int,
    stages: tuple[Stage, ...],
    pool: int,
    mutants: int | None = None,
    alarms: tuple[Alarm, ...] = (),
) -> Policy:
    """Return the sequential test on doubts.

    The doubts of the mutants are added to the weighted doubt of the original. An image is
    adversarial as soon as the sum reaches ``threshold``: doubts are never negative, so the sum
    would still be there after the last mutant, and an alarm at once loses nothing. The image is
    normal where a stage clears it, where the remaining mutants cannot bring the sum to the
    threshold, or after the last mutant. The test is never undecided. An early alarm lets the first
    mutants decide alone: whatever they doubt as much is adversarial, no matter what others say.

    Args:
        name: the policy's name.
        evidence: parameters of the doubts.
        threshold: summed doubt of an alarm in units, at least 1.
        stages: stages after which an image may be cleared; a bound above the threshold is lowered
            to below it.
        pool: number of mutants there are.
        mutants: most mutants that a request uses, by default all.
        alarms: early alarms; a bound above the threshold is lowered to it.

    Raises:
        ValueError: the threshold is below 1, or no mutant is used.
    """
    used = pool if mutants is None else min(mutants, pool)
    left = evidence.unit * (used - np.arange(used + 1, dtype=np.int64))
    normal = np.maximum(threshold - 1 - left, -1)
    for stage in stages:
        if stage.mutants <= used:
            normal[stage.mutants :] = np.maximum(normal[stage.mutants :], min(stage.at_most, threshold - 1))
    normal[0] = -1  # the original alone never clears an image
    adversarial = np.full(used + 1, threshold, dtype=np.int64)
    for alarm in alarms:
        # Sums that got past an early alarm cannot be higher than this after further mutants.
        further = np.arange(used + 1, dtype=np.int64) - alarm.mutants
        bound = np.where(further < 0, threshold, alarm.at_least + evidence.unit * further)
        adversarial = np.minimum(adversarial, bound)
    normal = np.minimum(normal, adversarial - 1)
    boundaries = Boundaries(normal, adversarial, evidence.unit)
    stops = tuple(stage.mutants for stage in stages)
    return Policy(name, boundaries, pool, None, None, evidence=evidence, stops=stops or (used,))
