"""Softmax probabilities in the log domain, where a probability of nearly 1 still has neighbours."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp


def log_doubt(logits: NDArray[np.floating], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return log(1 − p(label)), exact where p is so close to 1 that 1 − p would be 0.

    Args:
        logits: float [..., N, classes], with one other class at least.
        labels: int64 [N].

    Returns:
        float64 [..., N], natural logarithms, at most 0.
    """
    wide = logits.astype(np.float64)
    others = wide.copy()
    others[..., np.arange(len(labels)), labels] = -np.inf
    doubt: NDArray[np.float64] = logsumexp(others, axis=-1) - logsumexp(wide, axis=-1)
    return np.minimum(doubt, 0.0)


def log_mean_doubt(logits: NDArray[np.floating], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the log of the mean over networks of 1 − p(label), float64 [N].

    Args:
        logits: float [networks, N, classes].
        labels: int64 [N].
    """
    doubts = log_doubt(logits, labels)
    mean: NDArray[np.float64] = logsumexp(doubts, axis=0) - np.log(len(doubts))
    return mean
