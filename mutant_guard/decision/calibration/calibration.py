"""Calibration of policies on clean images alone.

The shape of a policy comes from one part of the images, and its false-alarm rate is certified on
another part.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mutant_guard.decision.calibration.certification import (
    CalibrationError,
    Certificate,
    allowed_alarms,
    certify,
    check_images,
)
from mutant_guard.decision.calibration.recording import Recording
from mutant_guard.decision.calibration.shape import CleanCounts, Shape, choose_shape
from mutant_guard.decision.calibration.simulation import run
from mutant_guard.decision.evidence.label_change import MeanRate, label_change_rate, mean_rate
from mutant_guard.decision.sequential import builders
from mutant_guard.decision.sequential.boundaries import Boundaries
from mutant_guard.decision.sequential.finite_pool import FinitePoolSprt
from mutant_guard.decision.sequential.policies import Decision, ErrorBounds, Hypotheses, Policy
from mutant_guard.decision.sequential.sprt import Sprt

# Least number of thresholds that are tried up to twice the chosen one, and number above that.
_THRESHOLDS, _HIGH_THRESHOLDS = 100, 20


def normal_rate(recording: Recording, confidence: float = 0.99) -> MeanRate:
    """Return the mean label change rate of correctly classified clean images, with its interval.

    Args:
        recording: label changes of the images.
        confidence: level of the two-sided interval.

    Raises:
        CalibrationError: fewer than two such images, or no label ever changes.
    """
    correct = recording.only_correct()
    if len(correct.changes) < 2:
        raise CalibrationError(
            f"only {len(correct.changes)} calibration images are classified correctly; give more images"
        )
    rate = mean_rate(label_change_rate(correct.changes), confidence)
    if rate.mean == 0:
        raise CalibrationError("no mutant changes any label of the calibration images; raise --rate")
    return rate


def paper_test(normal: MeanRate, *, rho: float, alpha: float, beta: float, delta_ratio: float) -> Sprt:
    """Return Algorithm 1's test.

    It has ςh = ρ × the upper bound of the mean label change rate, and p0, p1 = ςh ± δ.

    Args:
        normal: the rate from ``normal_rate``.
        rho: the paper's ρ; above 1 means fewer alarms.
        alpha: nominal bound on misses.
        beta: nominal bound on false alarms.
        delta_ratio: δ/ςh, half the width of the indifference region; the paper uses 0.1.

    Raises:
        CalibrationError: the hypotheses leave the range 0 to 1.
    """
    threshold = rho * normal.upper
    try:
        return Sprt(threshold * (1 + delta_ratio), threshold * (1 - delta_ratio), alpha, beta)
    except ValueError as error:
        raise CalibrationError(
            f"threshold {threshold:.3f} with delta ratio {delta_ratio} gives no test: {error}; "
            "lower --rate or --rho, or choose a delta ratio between 0 and 1"
        ) from error


@dataclass(frozen=True, eq=False)
class CleanParts:
    """Two parts of the clean images from which a certified policy is made.

    Attributes:
        choice: images on which the shape is chosen.
        certification: images on which the threshold is certified; they must not overlap with the
            others.
        evidence: bool [images, pool], label changes of ``certification`` in the order in which each
            image meets the mutants, drawn uniformly and independently.
    """

    choice: Recording
    certification: Recording
    evidence: NDArray[np.bool_]

    @property
    def images(self) -> int:
        """Number of rightly classified images to certify on."""
        return int(self.certification.correct.sum())

    @cached_property
    def rightly_classified(self) -> NDArray[np.bool_]:
        """Evidence of the rightly classified certification images, bool [images, pool]."""
        return self.evidence[self.certification.correct]

    def false_alarms(self, boundaries: Boundaries) -> int:
        """Count the rightly classified certification images that raise an alarm under a test."""
        candidate = Policy(
            "candidate", boundaries, self.certification.pool, Hypotheses(0, 1), ErrorBounds(1.0, 1.0)
        )
        state = run(candidate, self.rightly_classified)
        return int((state.decisions == Decision.ADVERSARIAL).sum())


@dataclass(frozen=True, eq=False)
class CertifiedPolicy:
    """Policy with its certificate.

    ``threshold`` is the label change count around which the policy decides.
    """

    policy: Policy
    threshold: int
    certificate: Certificate


@dataclass(frozen=True, eq=False)
class CalibratedPolicy(CertifiedPolicy):
    """Default policy with its certificate and its test."""

    test: FinitePoolSprt


def calibrated_policy(
    parts: CleanParts,
    *,
    max_false_alarm: float,
    confidence: float,
    max_miss: float,
    clean_mutants: float,
) -> CalibratedPolicy:
    """Calibrate the default policy: a certified threshold with the cheapest test around it.

    The threshold is on the label change rate, and the test is sequential. The full pool's verdict
    is 'adversarial' where at least ``threshold`` mutants change the label. The shape of the test
    around it is the one that ``choose_shape`` finds on the choice part. With the shape fixed, the
    threshold is lowered until the certification part no longer certifies ``max_false_alarm``
    (``certify``: conditional, Clopper–Pearson, with ``confidence``) for the full pool's verdict
    **and** for the sequential one that is served. An input with at least the test's ``high`` label
    changes is called normal with probability at most ``max_miss``.

    Args:
        parts: clean images.
        max_false_alarm: largest false-alarm rate of the sequential verdict.
        confidence: one-sided level of the certificate.
        max_miss: α of the test.
        clean_mutants: expected number of mutants of a clean image that the shape may cost.

    Raises:
        CalibrationError: too few images, or labels that change too often.
    """
    check_images(parts.images, max_false_alarm, confidence)
    # Aim on the choice part at the rate that can be certified, so that the shape fits the threshold
    # that will be found.
    aim = (allowed_alarms(parts.images, max_false_alarm, confidence) + 0.5) / parts.images
    shape = choose_shape(
        CleanCounts(parts.choice.pool, parts.choice.only_correct().counts, parts.choice.counts),
        false_alarm=aim,
        max_miss=max_miss,
        clean_mutants=clean_mutants,
    )
    counts, pool = parts.certification.only_correct().counts, parts.certification.pool

    def alarms(threshold: int) -> int:
        of_pool = int((counts >= threshold).sum())
        return max(of_pool, parts.false_alarms(shape.test(threshold).boundaries()))

    threshold, certificate = certify(
        _thresholds(shape, pool), alarms, parts.images, max_false_alarm, confidence
    )
    test = shape.test(threshold)
    policy = builders.without_replacement("calibrated", test, max_false_alarm)
    return CalibratedPolicy(policy, threshold, certificate, test)


def fixed_policy(
    parts: CleanParts, *, mutants: int, max_false_alarm: float, confidence: float, targets: ErrorBounds
) -> CertifiedPolicy:
    """Calibrate a policy with a fixed number of mutants for every input.

    Its threshold is certified like the one of ``calibrated``.

    Args:
        parts: clean images.
        mutants: number of mutants; at most the pool is used.
        max_false_alarm: largest false-alarm rate.
        confidence: one-sided level of the certificate.
        targets: error probabilities for which the policy's indifference region is given.

    Raises:
        CalibrationError: too few images, or labels that change too often.
    """
    pool = parts.certification.pool
    used = min(mutants, pool)
    changes = parts.rightly_classified[:, :used].sum(axis=1)
    threshold, certificate = certify(
        range(used, 0, -1),
        lambda candidate: int((changes >= candidate).sum()),
        parts.images,
        max_false_alarm,
        confidence,
    )
    return CertifiedPolicy(builders.fixed("fixed", used, threshold, pool, targets), threshold, certificate)


def _thresholds(shape: Shape, pool: int) -> Iterator[int]:
    """Yield thresholds from the whole pool down, densest where the certified one is expected."""
    dense = min(2 * shape.threshold, pool)
    sparse = np.unique(np.geomspace(dense, pool, _HIGH_THRESHOLDS).astype(np.int64))[::-1]
    yield from (int(value) for value in sparse if value > dense)
    yield from range(dense, 0, -max(dense // _THRESHOLDS, 1))
