"""A sequential test on summed doubts, and its calibration on clean images alone."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detection.boundaries import Boundaries, Counts
from detection.calibration import CertifiedPolicy
from detection.certification import CalibrationError, certify, check_images
from detection.evidence import Doubts
from detection.policies import Decision, Policy
from detection.recording import Recording
from detection.simulation import run_recorded

_LEAST = 1e-4
"""The lowest threshold tried, in mutants of full doubt."""
_CANDIDATES = 1500
_HALVINGS = 40


@dataclass(frozen=True)
class Stage:
    """After so many ``mutants`` an image is normal where its summed doubt is at most ``at_most`` units."""

    mutants: int
    at_most: int


def staged(
    name: str,
    evidence: Doubts,
    threshold: int,
    stages: tuple[Stage, ...],
    pool: int,
    mutants: int | None = None,
) -> Policy:
    """The sequential test on doubts.

    The doubts of the mutants are added up to the weighted one of the original. An image is adversarial as soon as the
    sum reaches ``threshold``: doubts are never negative, so it would still be there after the last mutant, and to
    alarm at once loses nothing. It is normal where a stage says so, where what is left cannot reach the threshold,
    or after the last mutant. The test is never undecided.

    Args:
        name: the policy's name.
        evidence: the doubts.
        threshold: units, at least 1.
        stages: after which an image may be cleared; a bound above the threshold is lowered to below it.
        pool: number of mutants there are.
        mutants: most a request uses, by default all.

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
    boundaries = Boundaries(normal, adversarial, evidence.unit)
    stops = tuple(stage.mutants for stage in stages)
    return Policy(name, boundaries, pool, None, None, evidence=evidence, stops=stops or (used,))


@dataclass(frozen=True, eq=False)
class StagedPolicy(CertifiedPolicy):
    """A certified policy on doubts, ``threshold`` in units, with the stages that clear images."""

    stages: tuple[Stage, ...]


def staged_policy(
    choice: Recording,
    certification: Recording,
    evidence: Doubts,
    *,
    max_false_alarm: float,
    confidence: float,
    clean_mutants: float,
    name: str = "calibrated",
) -> StagedPolicy:
    """The default on doubts: cheap on clean traffic, with a certified rate of false alarms.

    After 1, 2, 4, … mutants a clean image is cleared where its summed doubt is at most a quantile of what clean
    images have there: all but a share x/n of them after n mutants, so that every stage costs the same. x is the
    largest at which the images of ``choice`` take ``clean_mutants`` on average. What no stage clears meets the whole
    pool. With these stages fixed the threshold of the alarm is lowered from the top in steps that do not depend on the
    images until ``certification`` no longer certifies the rate of the very test that is served
    (:func:`detection.certification.certify`: conditional, Clopper–Pearson). It is a rule of thresholds on exchangeable
    scores, so nothing is assumed of doubts but that they come from images drawn like these (Vovk, Gammerman, Shafer:
    Algorithmic learning in a random world, 2005; Angelopoulos et al., Learn then Test, 2021).

    Args:
        choice: clean images that choose the stages, in the orders they meet the mutants.
        certification: other clean images, in such orders.
        evidence: the doubts.
        max_false_alarm: largest rate of alarms on rightly classified clean images.
        confidence: one-sided level of that.
        clean_mutants: mutants a clean image may take on average.
        name: the policy's name.

    Raises:
        CalibrationError: too few images, or doubts so great that no threshold keeps the rate.
    """
    check_images(int(certification.correct.sum()), max_false_alarm, confidence)
    stages = _stages(choice, evidence, clean_mutants)
    return _certified(name, certification, evidence, stages, None, max_false_alarm, confidence)


def all_mutants_policy(
    certification: Recording,
    evidence: Doubts,
    *,
    mutants: int,
    max_false_alarm: float,
    confidence: float,
    name: str = "fixed",
) -> StagedPolicy:
    """Always so many mutants (unless their doubts decide before), then a certified threshold.

    Raises:
        CalibrationError: as for :func:`staged_policy`.
    """
    check_images(int(certification.correct.sum()), max_false_alarm, confidence)
    return _certified(name, certification, evidence, (), mutants, max_false_alarm, confidence)


def _certified(
    name: str,
    certification: Recording,
    evidence: Doubts,
    stages: tuple[Stage, ...],
    mutants: int | None,
    max_false_alarm: float,
    confidence: float,
) -> StagedPolicy:
    correct, pool = certification.only_correct(), certification.pool

    def made(threshold: int) -> Policy:
        return staged(name, evidence, threshold, stages, pool, mutants)

    def alarms(threshold: int) -> int:
        return int((run_recorded(made(threshold), correct).decisions == Decision.ADVERSARIAL).sum())

    most = evidence.unit * (pool + evidence.own_weight)
    candidates = np.geomspace(most, _LEAST * evidence.unit, _CANDIDATES).astype(np.int64)
    try:
        threshold, certificate = certify(
            candidates.tolist(), alarms, len(correct.correct), max_false_alarm, confidence
        )
    except CalibrationError as error:
        raise CalibrationError(
            f"mutants doubt normal images too much for a false-alarm rate of {max_false_alarm:g}: "
            "make more accurate ones (--epochs, a lower --share) or raise --max-false-alarm"
        ) from error
    return StagedPolicy(made(threshold), threshold, certificate, stages)


def _stages(choice: Recording, evidence: Doubts, clean_mutants: float) -> tuple[Stage, ...]:
    """Bisects the share of clean images that goes on after the first mutant."""
    probe = staged("choice", evidence, 1, (), choice.pool)
    mutants, start = choice.evidence(probe)
    sums = start[:, None] + np.cumsum(mutants, axis=1, dtype=np.int64)
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _mean_mutants(sums, _at(sums, middle)) <= clean_mutants:
            low = middle
        else:
            high = middle
    return _at(sums, low)


def _at(sums: Counts, going_on: float) -> tuple[Stage, ...]:
    """Stages after which a share ``going_on``/n of the images, at most, is left."""
    places = [2**power for power in range(sums.shape[1].bit_length()) if 2**power < sums.shape[1]]
    at_most = [int(np.quantile(sums[:, place - 1], 1 - going_on / place, method="lower")) for place in places]
    return tuple(Stage(place, bound) for place, bound in zip(places, at_most, strict=True))


def _mean_mutants(sums: NDArray[np.int64], stages: tuple[Stage, ...]) -> float:
    """Mutants an image takes on average where none raises an alarm."""
    used = np.full(len(sums), sums.shape[1])
    for stage in reversed(stages):
        used[sums[:, stage.mutants - 1] <= stage.at_most] = stage.mutants
    return float(used.mean())
