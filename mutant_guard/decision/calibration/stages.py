"""Calibration of the sequential test on summed doubts, on clean images alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mutant_guard.decision.calibration.calibration import CertifiedPolicy
from mutant_guard.decision.calibration.certification import (
    CalibrationError,
    allowed_alarms,
    certify,
    check_images,
)
from mutant_guard.decision.calibration.recording import Recording
from mutant_guard.decision.calibration.simulation import run_recorded
from mutant_guard.decision.evidence.kinds import Doubts
from mutant_guard.decision.sequential.boundaries import Counts
from mutant_guard.decision.sequential.policies import Decision, Policy
from mutant_guard.decision.sequential.staged import Alarm, Stage, staged

_LEAST = 1e-4
"""Lowest threshold that is tried, in mutants of full doubt."""
_CANDIDATES = 1500
_ABOVE = 300
"""Number of candidates above what any image has that chooses them."""
_LEAST_SHARE = 1e-4
"""Lowest share of alarms on clean images that is aimed at."""
_HALVINGS = 40


@dataclass(frozen=True, eq=False)
class StagedPolicy(CertifiedPolicy):
    """Certified policy on doubts.

    Attributes:
        threshold: summed doubt of an alarm, in units.
        stages: stages that clear images.
        alarms: early alarms.
    """

    stages: tuple[Stage, ...]
    alarms: tuple[Alarm, ...] = ()


@dataclass(frozen=True)
class _Bounds:
    """Threshold of a test in units, and its early alarms."""

    threshold: int
    alarms: tuple[Alarm, ...] = ()


def staged_policy(
    choice: Recording,
    certification: Recording,
    evidence: Doubts,
    *,
    max_false_alarm: float,
    confidence: float,
    clean_mutants: float,
    first_share: float = 0.0,
    name: str = "calibrated",
) -> StagedPolicy:
    """Calibrate the default policy on doubts: cheap on clean traffic, with a certified alarm rate.

    After 1, 2, 4, … mutants a clean image is cleared where its summed doubt is at most a quantile
    of the clean images' sums there: all but a share x/n of them after n mutants, so that every
    stage costs the same. x is the largest value at which the images of ``choice`` take
    ``clean_mutants`` on average. An image that no stage clears meets the whole pool. With these
    stages fixed, the threshold of the alarm is lowered from the top, in steps that do not depend on
    the images, until ``certification`` no longer certifies the rate of the very test that is served
    (``certify``: conditional, Clopper–Pearson). It is a rule of thresholds on exchangeable scores,
    so nothing is assumed of doubts but that they come from images drawn like these (Vovk,
    Gammerman, Shafer: Algorithmic learning in a random world, 2005; Angelopoulos et al., Learn then
    Test, 2021).

    Where the first mutant may decide alone, as a robust one has to, there is an early alarm after
    it. Its bound and the threshold are then lowered together, so that of the alarms on ``choice``
    it raises a constant share.

    Args:
        choice: clean images that choose the stages, in the orders in which they meet the mutants.
        certification: other clean images, in such orders.
        evidence: parameters of the doubts.
        max_false_alarm: largest rate of alarms on rightly classified clean images.
        confidence: one-sided level of the certificate.
        clean_mutants: number of mutants that a clean image may take on average.
        first_share: share of the alarms on clean images that the doubt of the first mutant alone
            raises; 0 where it may raise none.
        name: the policy's name.

    Raises:
        CalibrationError: too few images, or doubts so great that no threshold keeps the rate.
    """
    images = int(certification.correct.sum())
    check_images(images, max_false_alarm, confidence)
    rate = allowed_alarms(images, max_false_alarm, confidence) / images
    stages = _stages(choice, evidence, clean_mutants, first_share, rate)
    bounds = (
        _with_early_alarm(choice, evidence, stages, first_share)
        if first_share
        else _thresholds(choice.pool, evidence)
    )
    return _certified(name, certification, evidence, stages, None, max_false_alarm, confidence, bounds)


def all_mutants_policy(
    certification: Recording,
    evidence: Doubts,
    *,
    mutants: int,
    max_false_alarm: float,
    confidence: float,
    choice: Recording | None = None,
    first_share: float = 0.0,
    name: str = "fixed",
) -> StagedPolicy:
    """Calibrate a policy with a fixed number of mutants, then a certified threshold.

    Fewer mutants are used where their doubts decide before.

    Args:
        certification: clean images, in the orders in which they meet the mutants.
        evidence: parameters of the doubts.
        mutants: number of mutants.
        max_false_alarm: largest rate of alarms on rightly classified clean images.
        confidence: one-sided level of the certificate.
        choice: other clean images, in such orders; needed where the first mutant has a share.
        first_share: share of the alarms on clean images that the doubt of the first mutant alone
            raises; 0 where it may raise none.
        name: the policy's name.

    Raises:
        CalibrationError: too few images, or doubts so great that no threshold keeps the rate.
    """
    check_images(int(certification.correct.sum()), max_false_alarm, confidence)
    if choice is None or not first_share:
        bounds = _thresholds(certification.pool, evidence)
    else:
        bounds = _with_early_alarm(choice, evidence, (), first_share, mutants)
    return _certified(name, certification, evidence, (), mutants, max_false_alarm, confidence, bounds)


def _certified(
    name: str,
    certification: Recording,
    evidence: Doubts,
    stages: tuple[Stage, ...],
    mutants: int | None,
    max_false_alarm: float,
    confidence: float,
    candidates: Sequence[_Bounds],
) -> StagedPolicy:
    correct, pool = certification.only_correct(), certification.pool

    def made(bounds: _Bounds) -> Policy:
        return staged(name, evidence, bounds.threshold, stages, pool, mutants, bounds.alarms)

    def alarms(bounds: _Bounds) -> int:
        return int((run_recorded(made(bounds), correct).decisions == Decision.ADVERSARIAL).sum())

    try:
        found, certificate = certify(candidates, alarms, len(correct.correct), max_false_alarm, confidence)
    except CalibrationError as error:
        raise CalibrationError(
            f"mutants doubt normal images too much for a false-alarm rate of {max_false_alarm:g}: "
            "make more accurate ones (--epochs, a lower --share) or raise --max-false-alarm"
        ) from error
    return StagedPolicy(made(found), found.threshold, certificate, stages, found.alarms)


def _thresholds(pool: int, evidence: Doubts) -> list[_Bounds]:
    """Return thresholds from the least to the most sensitive."""
    most = evidence.unit * (pool + evidence.own_weight)
    return [_Bounds(int(threshold)) for threshold in np.geomspace(most, _LEAST * evidence.unit, _CANDIDATES)]


def _with_early_alarm(
    choice: Recording,
    evidence: Doubts,
    stages: tuple[Stage, ...],
    first_share: float,
    mutants: int | None = None,
) -> list[_Bounds]:
    """Return thresholds, each with an early alarm, from the least to the most sensitive.

    Both bounds are quantiles of the sums of rightly classified ``choice`` images. As the bound of
    the early alarm passes an image, that image no longer counts for the threshold. Between two such
    images, and above all of them, both move steadily, so that certification meets no leap.
    """
    used = choice.pool if mutants is None else min(mutants, choice.pool)
    sums = _sums(choice.only_correct(), evidence)
    first, ends = sums[:, 0], _ends(sums, _heard(sums, stages, used))
    share = first_share if used > 1 else 1.0
    passed = share * max(1, len(first) - 1)
    # As many as there are candidates tell all images apart where few have passed.
    places = np.unique(np.geomspace(1, 1 + int(passed), _CANDIDATES).astype(np.int64) - 1)
    rates, bounds = places / passed, np.sort(first)[::-1][np.minimum(places, len(first) - 1)]
    levels = 1 - (1 - share) * rates
    quantiles = [
        np.quantile(ends[first <= bound], level) for bound, level in zip(bounds, levels, strict=True)
    ]
    thresholds = np.minimum.accumulate(quantiles)
    most = [int(evidence.unit * (heard + evidence.own_weight)) + 1 for heard in (1, choice.pool)]
    above = [
        np.geomspace(start, 1 + highest[0], _ABOVE)
        for start, highest in zip(most, (bounds, thresholds), strict=True)
    ]
    alarms = np.geomspace(_LEAST_SHARE, 1, _CANDIDATES)
    below = [1 + np.interp(alarms, rates, known) for known in (bounds, thresholds)]
    found: list[_Bounds] = []
    for bound, threshold in np.concatenate([above, below], axis=1).astype(np.int64).T.tolist():
        candidate = _Bounds(max(threshold, bound), (Alarm(1, bound),))
        if not found or candidate != found[-1]:
            found.append(candidate)
    return found


def _stages(
    choice: Recording, evidence: Doubts, clean_mutants: float, first_share: float, rate: float
) -> tuple[Stage, ...]:
    """Bisect the share of clean images that go on after the first mutant.

    Where the first mutant raises a share of the alarms alone, images end in alarms of the rate that
    is allowed.
    """
    sums, correct = _sums(choice, evidence), choice.correct
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _mean_mutants(sums, correct, _at(sums, middle), first_share, rate) <= clean_mutants:
            low = middle
        else:
            high = middle
    return _at(sums, low)


def _sums(recording: Recording, evidence: Doubts) -> Counts:
    """Return the summed doubt of every image after each mutant, int64 [images, mutants]."""
    mutants, start = recording.evidence(staged("choice", evidence, 1, (), recording.pool))
    return np.asarray(start[:, None] + np.cumsum(mutants, axis=1, dtype=np.int64))


def _at(sums: Counts, going_on: float) -> tuple[Stage, ...]:
    """Return stages after which at most a share ``going_on``/n of the images is left."""
    places = [2**power for power in range(sums.shape[1].bit_length()) if 2**power < sums.shape[1]]
    at_most = [int(np.quantile(sums[:, place - 1], 1 - going_on / place, method="lower")) for place in places]
    return tuple(Stage(place, bound) for place, bound in zip(places, at_most, strict=True))


def _heard(sums: Counts, stages: tuple[Stage, ...], most: int) -> Counts:
    """Return the number of mutants after which each image is cleared, ``most`` where no stage clears it."""
    heard = np.full(len(sums), most)
    for stage in reversed(stages):
        heard[sums[:, stage.mutants - 1] <= stage.at_most] = stage.mutants
    return heard


def _ends(sums: Counts, heard: Counts) -> Counts:
    """Return the sum of every image after the mutants that it hears."""
    return np.asarray(sums[np.arange(len(sums)), heard - 1])


def _mean_mutants(
    sums: Counts, correct: NDArray[np.bool_], stages: tuple[Stage, ...], first_share: float, rate: float
) -> float:
    """Return the mean number of mutants of an image, without alarms unless the first mutant has a share."""
    used = _heard(sums, stages, sums.shape[1])
    if first_share:
        alone = sums[:, 0] > np.quantile(sums[correct, 0], 1 - first_share * rate)
        threshold = np.quantile(_ends(sums, used)[correct & ~alone], 1 - (1 - first_share) * rate)
        reached = sums > threshold
        alarmed = np.where(reached.any(axis=1), 1 + reached.argmax(axis=1), sums.shape[1])
        used = np.where(alone, 1, np.minimum(used, alarmed))
    return float(used.mean())
