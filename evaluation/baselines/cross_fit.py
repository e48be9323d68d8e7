"""Detectors that are trained on an attack, measured on images they were not trained on."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


class CrossFitted(NamedTuple):
    """Scores float64 that compare across folds, higher is more suspicious.

    A score counts the calibration images that the same regression finds less suspicious (and
    fractions of one between two of them, and past the last in proportion), so that a threshold
    means the same whichever fold an image is in.
    """

    normal: NDArray[np.float64]
    kind: NDArray[np.float64]
    calibration: NDArray[np.float64]


def cross_fitted(
    normal: NDArray[np.float64],
    normal_sources: NDArray[np.int64],
    kind: NDArray[np.float64],
    kind_sources: NDArray[np.int64],
    calibration: NDArray[np.float64],
    seed: int,
) -> CrossFitted:
    """Train a logistic regression on either half of the images and let it score the other.

    Halves are made of source images: an attacked image is in the same half as the clean one that it
    was made from.

    Args:
        normal: features of clean images, float64 [n, F].
        normal_sources: sources of the clean images, int64 [n]; -1 stands for an image without a
            source.
        kind: features of the images to tell from them, float64 [m, F].
        kind_sources: sources of these images, int64 [m], with -1 as in ``normal_sources``.
        calibration: features of clean images, float64 [c, F], c ≥ 2, none of whose sources is among
            the others.
        seed: seed of the split.

    Returns:
        Scores [n], [m] and [c].

    Raises:
        ValueError: a half has no normal images or none of the kind, or there is nothing to
            calibrate on.
    """
    if len(calibration) < 2:
        raise ValueError("a threshold takes two calibration images at least")
    normal_second, kind_second = _second_half(normal_sources, kind_sources, seed)
    normal_scores, kind_scores = np.empty(len(normal)), np.empty(len(kind))
    for second in (False, True):
        normal_held, kind_held = normal_second == second, kind_second == second
        if normal_held.all() or kind_held.all():
            raise ValueError("the images have too few sources to train on one half and measure on the other")
        regression = make_pipeline(
            StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1_000)
        )
        regression.fit(
            np.concatenate([normal[~normal_held], kind[~kind_held]]),
            np.repeat([0, 1], [np.count_nonzero(~normal_held), np.count_nonzero(~kind_held)]),
        )
        own = regression.decision_function(calibration)
        for scores, features, held in (
            (normal_scores, normal, normal_held),
            (kind_scores, kind, kind_held),
        ):
            if held.any():
                scores[held] = positions(regression.decision_function(features[held]), own)
    # Both regressions rank the same calibration images: as a set their positions are the same.
    return CrossFitted(normal_scores, kind_scores, positions(own, own))


def _second_half(
    normal_sources: NDArray[np.int64], kind_sources: NDArray[np.int64], seed: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    sources = np.concatenate([normal_sources, kind_sources])
    alone = sources < 0
    sources[alone] = sources.max(initial=0) + 1 + np.arange(np.count_nonzero(alone))
    unique, positions_of = np.unique(sources, return_inverse=True)
    second = np.random.default_rng(seed).permutation(len(unique)) >= len(unique) / 2
    chosen = second[positions_of]
    return chosen[: len(normal_sources)], chosen[len(normal_sources) :]


def positions(scores: NDArray[np.float64], calibration: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the positions of scores among those of calibration images.

    Args:
        scores: float64 [N].
        calibration: float64 [c], not all of them equal unless ``scores`` are equal to them as well.

    Returns:
        float64 [N]: 0 at the lowest calibration score, c − 1 at the highest, straight lines between
        neighbours, equal ones at their mean; beyond either end, further by the distance to it in
        standard deviations.
    """
    values, first = np.unique(calibration, return_index=True)
    ranks = (rankdata(calibration) - 1)[first]
    spread = float(np.std(calibration)) or 1.0
    inside: NDArray[np.float64] = np.interp(scores, values, ranks)
    beyond = np.maximum(scores - values[-1], 0) + np.minimum(scores - values[0], 0)
    found: NDArray[np.float64] = inside + beyond / spread
    return found
