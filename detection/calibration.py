"""Policies from clean images alone: thresholds on one part, their predicted rates on another."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, log

import numpy as np
from numpy.typing import NDArray

from detection.intervals import Interval, clopper_pearson
from detection.label_change import MeanRate, label_change_rate, mean_rate
from detection.policies import Decision, Policy, SprtPolicy, State, advance
from detection.sprt import Sprt

# Width of the calibrated test, p0/p1: wide enough for about ten mutants on a clean image.
_RATIO = 5.0
_STEP = 1.05


class CalibrationError(ValueError):
    """The clean images do not allow a policy with what was asked for."""


@dataclass(frozen=True, slots=True)
class Recording:
    """Label changes of clean images over the whole pool.

    Attributes:
        changes: bool [images, mutants], True where the mutant's label differs from the original's.
        correct: bool [images], True where the original's label is the true one.
    """

    changes: NDArray[np.bool_]
    correct: NDArray[np.bool_]

    @property
    def pool(self) -> int:
        """Number of mutants."""
        return int(self.changes.shape[1])

    def only_correct(self) -> "Recording":
        """The images the original gets right."""
        return Recording(self.changes[self.correct], self.correct[self.correct])


@dataclass(frozen=True, slots=True)
class Estimates:
    """What a policy did on clean images it was not chosen on.

    Attributes:
        false_alarms: 'adversarial' among images the original gets right.
        alarms: 'adversarial' among all clean images, what production sees.
        undecided: pool exhausted, among all clean images.
        alarms_or_undecided: either, among all clean images.
        mean_mutants: mean number of mutants over all clean images.
        p99_mutants: 99th percentile of it.
    """

    false_alarms: Interval
    alarms: Interval
    undecided: Interval
    alarms_or_undecided: Interval
    mean_mutants: float
    p99_mutants: float


def normal_rate(recording: Recording, confidence: float = 0.99) -> MeanRate:
    """Mean label change rate of correctly classified clean images with its interval.

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


def paper_policy(
    normal: MeanRate, pool: int, *, rho: float, alpha: float, beta: float, delta_ratio: float
) -> SprtPolicy:
    """Algorithm 1's test: ςh = ρ × the upper bound of the mean label change rate, p0, p1 = ςh ± δ.

    Args:
        normal: from :func:`normal_rate`.
        pool: number of mutants.
        rho: the paper's ρ; above 1 means fewer alarms.
        alpha: nominal bound on misses.
        beta: nominal bound on false alarms.
        delta_ratio: δ/ςh, half the width of the indifference region; the paper uses 0.1.

    Raises:
        CalibrationError: the hypotheses leave the range 0 to 1.
    """
    threshold = rho * normal.upper
    try:
        test = Sprt(threshold * (1 + delta_ratio), threshold * (1 - delta_ratio), alpha, beta)
    except ValueError as error:
        raise CalibrationError(
            f"threshold {threshold:.3f} with delta ratio {delta_ratio} gives no test: {error}; "
            "lower --rate or --rho, or choose a delta ratio between 0 and 1"
        ) from error
    return SprtPolicy("paper", test, pool)


def calibrated_policy(
    recording: Recording, normal: MeanRate, *, max_false_alarm: float, alpha: float, beta: float, seed: int
) -> SprtPolicy:
    """Simple hypotheses far enough apart to decide in few mutants.

    p1 starts at the upper bound of the normal label change rate and p0 at five times that (halfway to 1 where
    that is less); both are raised by 5 % until the replayed false alarms, counted as (alarms + 1)/(images + 1),
    stay within ``max_false_alarm``: the most sensitive test of its width that clean images allow. The choice
    is made on ``recording``; estimate its rates on other images.

    Raises:
        CalibrationError: too few images for the requested rate, or no p0 reaches it.
    """
    correct = recording.only_correct()
    needed = ceil(1 / max_false_alarm) - 1
    if len(correct.changes) < needed:
        raise CalibrationError(
            f"a false-alarm rate of {max_false_alarm:g} needs at least {needed} correctly classified images "
            f"to choose the policy on, there are {len(correct.changes)}; give more, or raise --max-false-alarm"
        )
    for test in _candidates(normal.upper, alpha, beta):
        policy = SprtPolicy("calibrated", test, recording.pool)
        alarms = int((replay(policy, correct, seed).decisions == Decision.ADVERSARIAL).sum())
        if alarms + 1 <= max_false_alarm * (len(correct.changes) + 1):
            return policy
    raise CalibrationError(
        f"labels of normal images change too often (upper bound {normal.upper:.3f} of the mean) for a false-alarm "
        f"rate of {max_false_alarm:g}; lower --rate or raise --max-false-alarm"
    )


def _candidates(normal: float, alpha: float, beta: float) -> Iterator[Sprt]:
    """Tests from the most to the least sensitive."""
    for p1 in normal * _STEP ** np.arange(ceil(log(0.9 / normal) / log(_STEP))):
        yield Sprt(float(min(_RATIO * p1, (1 + p1) / 2)), float(p1), alpha, beta)


def replay(policy: Policy, recording: Recording, seed: int) -> State:
    """Run a policy over recorded label changes, each image meeting the mutants in a random order of its own."""
    rng = np.random.default_rng(seed)
    shuffled = rng.permuted(recording.changes, axis=1)
    zeros = np.zeros(len(shuffled), dtype=np.int64)
    return advance(policy, zeros, zeros, shuffled, np.full_like(zeros, recording.pool))


def estimate(policy: Policy, recording: Recording, seed: int, confidence: float = 0.95) -> Estimates:
    """Rates of a policy on clean images that chose neither its mutants nor its shape.

    Raises:
        CalibrationError: no image of the recording is classified correctly.
    """
    if not recording.correct.any():
        raise CalibrationError("no certification image is classified correctly; give more images")
    state = replay(policy, recording, seed)
    adversarial = state.decisions == Decision.ADVERSARIAL
    undecided = state.decisions == Decision.EXHAUSTED

    def interval(hits: NDArray[np.bool_]) -> Interval:
        return clopper_pearson(int(hits.sum()), int(hits.size), confidence)

    return Estimates(
        false_alarms=interval(adversarial[recording.correct]),
        alarms=interval(adversarial),
        undecided=interval(undecided),
        alarms_or_undecided=interval(adversarial | undecided),
        mean_mutants=float(state.mutants.mean()),
        p99_mutants=float(np.quantile(state.mutants, 0.99)),
    )
