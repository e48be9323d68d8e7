"""Separation of suspicious images from normal ones by scores.

Scores are larger for what is more suspicious.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import matthews_corrcoef, roc_curve

Scores = NDArray[np.float64]

_RESAMPLES = 1000
_LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """Figure with the interval that resampling the images gives.

    It is a percentile bootstrap, 95 % unless told otherwise.
    """

    value: float
    low: float
    high: float


def auroc(normal: Scores, suspicious: Scores, seed: int = 0) -> Estimate:
    """Return the area under the ROC curve, ties counted half: P(suspicious > normal).

    Args:
        normal: float64 [N], or [pools, N] for the same images scored under several pools: the area
            is then the mean over pools, and images are resampled together with all their scores.
        suspicious: float64 [M] or [pools, M].
        seed: seed of the bootstrap.
    """
    return _area(_mean_wins(normal, suspicious), seed)


def auroc_difference(ours: tuple[Scores, Scores], other: tuple[Scores, Scores], seed: int = 0) -> Estimate:
    """Return the area of one detector less that of another on the same images.

    Args:
        ours: scores of normal and of suspicious images, as for ``auroc``.
        other: scores of the other detector, of the same images in the same order; the number of
            pools may differ.
        seed: seed of the bootstrap, which resamples images for both together.
    """
    return _area(_mean_wins(*ours) - _mean_wins(*other), seed)


def _area(wins: NDArray[np.float32], seed: int) -> Estimate:
    rng = np.random.default_rng(seed)
    drawn = _weights(rng, wins.shape[0]) @ wins
    found = np.einsum("bn,bn->b", drawn, _weights(rng, wins.shape[1]))
    return _estimate(float(wins.mean(dtype=np.float64)), found)


def _mean_wins(normal: Scores, suspicious: Scores) -> NDArray[np.float32]:
    """Return the mean of ``_wins`` over pools."""
    normal, suspicious = np.atleast_2d(normal), np.atleast_2d(suspicious)
    total = np.zeros((suspicious.shape[1], normal.shape[1]), dtype=np.float32)
    for low, high in zip(normal, suspicious, strict=True):
        total += _wins(low, high)
    return total / np.float32(len(normal))


def area(normal: Scores, suspicious: Scores) -> float:
    """Return the area alone, of scores float64 [N] and [M]."""
    return float(_wins(normal, suspicious).mean(dtype=np.float64))


def _wins(normal: Scores, suspicious: Scores) -> NDArray[np.float32]:
    """Return 1 where a suspicious image has the larger score, else 0, and 0.5 for equals.

    The result is float32 [M, N].
    """
    above, below = suspicious[:, None], normal[None, :]
    return np.asarray((above > below) + np.float32(0.5) * (above == below))


def mean(values: Scores, seed: int = 0, level: float = _LEVEL) -> Estimate:
    """Return the mean of float64 [N] values, one an image."""
    found = _weights(np.random.default_rng(seed), len(values)) @ values.astype(np.float32)
    return _estimate(float(values.mean()), found, level)


def ratio(suspicious: Scores, normal: Scores, seed: int = 0, level: float = _LEVEL) -> Estimate:
    """Return the ratio of two means, suspicious float64 [M] over normal float64 [N].

    It is infinite where the lower one is 0.
    """
    rng = np.random.default_rng(seed)
    above = _weights(rng, len(suspicious)) @ suspicious.astype(np.float32)
    below = _weights(rng, len(normal)) @ normal.astype(np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.where(below > 0, above / below, np.inf)
    value = float(suspicious.mean() / normal.mean()) if normal.mean() > 0 else float("inf")
    return _estimate(value, found, level)


def share(hits: Scores, trials: Scores, seed: int = 0, level: float = _LEVEL) -> Estimate:
    """Return hits per trial, float64 [N] each, of images that have several trials.

    An image is resampled with its hits and trials.
    """
    weights = _weights(np.random.default_rng(seed), len(trials))
    with np.errstate(divide="ignore", invalid="ignore"):
        found = (weights @ hits.astype(np.float32)) / (weights @ trials.astype(np.float32))
    return _estimate(float(hits.sum() / trials.sum()), np.nan_to_num(found), level)


def roc(normal: Scores, suspicious: Scores, false_alarms: Scores) -> Scores:
    """Return the ROC curve of scores float64 [N] and [M].

    The result is the detection, 0 to 1, at shares of false alarms float64 [points].
    """
    found, detected, _ = roc_curve(
        np.repeat([0, 1], [len(normal), len(suspicious)]),
        np.concatenate([normal, suspicious]),
        drop_intermediate=False,
    )
    # The best detection without more false alarms counts; straight lines would promise what no
    # threshold gives.
    return np.asarray(detected[np.searchsorted(found, false_alarms, side="right") - 1], dtype=np.float64)


def threshold(calibration: Scores, false_alarms: float) -> float:
    """Return the least score above which at most a given share of the calibration images lie.

    Args:
        calibration: float64 [N], scores of clean images that are not the ones tested.
        false_alarms: share of them that may raise an alarm, 0 to 1. An alarm is a score **above**
            the threshold.
    """
    ordered = np.sort(calibration)[::-1]
    return float(ordered[min(int(false_alarms * len(ordered)), len(ordered) - 1)])


def matthews(normal: NDArray[np.bool_], suspicious: NDArray[np.bool_]) -> float:
    """Return the Matthews correlation of alarms on normal and on suspicious images.

    Both kinds of images are weighted alike.

    Args:
        normal: alarms on normal images, bool [N].
        suspicious: alarms on suspicious images, bool [M].
    """
    truth = np.repeat([0, 1], [len(normal), len(suspicious)])
    weights = np.repeat([1 / len(normal), 1 / len(suspicious)], [len(normal), len(suspicious)])
    return float(matthews_corrcoef(truth, np.concatenate([normal, suspicious]), sample_weight=weights))


def _weights(rng: np.random.Generator, count: int) -> NDArray[np.float32]:
    """Return how often each image is in each resample, over the number of images.

    The result is float32 [resamples, count].
    """
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=_RESAMPLES)
    return (drawn / count).astype(np.float32)


def _estimate(value: float, found: NDArray[np.floating], level: float = _LEVEL) -> Estimate:
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf")
    return Estimate(value, float(low), float(high))
