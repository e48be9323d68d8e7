"""Success of an attack against a guard: counted, with exact intervals."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mutant_guard.decision.calibration.intervals import Interval, clopper_pearson

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class AttackOutcome:
    """Shares of attacked images, each with its Clopper–Pearson interval.

    Attributes:
        fooled: share of images that fool the classifier: the attack's success without the guard.
        detected: share of alarms among those; None where there are none.
        evaded: share of images that fool it and raise no alarm: the success against the guard.
        robust: share of images that do not, the accuracy under attack when an alarm counts as an
            answer. It is 1 − ``evaded``.
    """

    fooled: Interval
    detected: Interval | None
    evaded: Interval
    robust: Interval


def outcome(fools: Bools, alarm: Bools, confidence: float = 0.95) -> AttackOutcome:
    """Count one attack, or the worst case of several.

    Args:
        fools: bool [N], whether the original's label is wrong. N counts every image attacked, those
            on which the attack failed included; take images that the original labels rightly when
            clean.
        alarm: bool [N], the guard's verdict.
        confidence: two-sided level of the intervals.

    Raises:
        ValueError: there are no images, or the arrays differ in length.
    """
    total, fooled = len(_checked(fools, alarm)), int(fools.sum())
    evaded = int((fools & ~alarm).sum())
    return AttackOutcome(
        clopper_pearson(fooled, total, confidence),
        clopper_pearson(fooled - evaded, fooled, confidence) if fooled else None,
        clopper_pearson(evaded, total, confidence),
        clopper_pearson(total - evaded, total, confidence),
    )


def worst_case(attacks: Sequence[tuple[Bools, Bools]]) -> tuple[Bools, Bools]:
    """Return the best attack on each image, as an attacker that tries them all has it.

    An image is defended only if every attack on it fails or is detected.

    Args:
        attacks: ``fools`` and ``alarm`` bool [N] of each attack on the same images, as for
            ``outcome``.

    Returns:
        ``fools`` bool [N], whether any attack fools the original, and ``alarm`` bool [N], false
        where one that does raises none.

    Raises:
        ValueError: there are no attacks or no images, or the arrays differ in length.
    """
    if not attacks:
        raise ValueError("need at least one attack")
    for fools, alarm in attacks:
        _checked(fools, alarm, like=attacks[0][0])
    fooled = np.any([fools for fools, _ in attacks], axis=0)
    evaded = np.any([fools & ~alarm for fools, alarm in attacks], axis=0)
    return fooled, ~evaded


def _checked(fools: Bools, alarm: Bools, like: Bools | None = None) -> Bools:
    expected = fools if like is None else like
    if not fools.shape == alarm.shape == expected.shape or fools.ndim != 1 or not len(fools):
        raise ValueError(
            f"need fools and alarm [N] of the same images, N at least 1, got {fools.shape} and {alarm.shape}"
        )
    return fools
