"""Label change rate, the quantity that every verdict is about."""

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class MeanRate:
    """Mean label change rate over images, with the two-sided normal interval (the paper's '±').

    Attributes:
        images: number of images averaged over.
        mean: mean label change rate, 0 to 1.
        half_width: half the width of the confidence interval of the mean.
        confidence: level of the interval, for example 0.99.
    """

    images: int
    mean: float
    half_width: float
    confidence: float

    @property
    def upper(self) -> float:
        """Upper end of the interval: the paper's ςh for ρ = 1."""
        return self.mean + self.half_width


def label_change_rate(changes: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the share of mutants whose label differs from the original's.

    Source: Wang et al. 2019, section III-B.

    Args:
        changes: bool [images, mutants], True where a mutant's label differs from the original's own
            label (not from the true one).

    Returns:
        float64 [images].

    Raises:
        ValueError: there are no mutants.
    """
    if changes.ndim != 2 or changes.shape[1] == 0:
        raise ValueError(f"changes must be [images, mutants] with at least one mutant, got {changes.shape}")
    return np.asarray(changes.mean(axis=1, dtype=np.float64))


def mean_rate(rates: NDArray[np.float64], confidence: float = 0.99) -> MeanRate:
    """Return the mean of per-image rates with its normal-approximation interval.

    Source: Wang et al. 2019, Table II.

    Args:
        rates: float64 [images].
        confidence: level of the two-sided interval.

    Raises:
        ValueError: fewer than two images.
    """
    if rates.size < 2:
        raise ValueError(f"a mean with an interval needs at least 2 images, got {rates.size}")
    quantile = NormalDist().inv_cdf((1 + confidence) / 2)
    spread = float(rates.std(ddof=1)) / sqrt(rates.size)
    return MeanRate(int(rates.size), float(rates.mean()), quantile * spread, confidence)
