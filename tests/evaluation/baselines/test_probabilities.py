"""Doubts in the log domain."""

import numpy as np
from scipy.special import softmax

from evaluation.baselines.probabilities import log_doubt, log_mean_doubt


def test_doubt_of_any_label() -> None:
    generator = np.random.default_rng(0)
    values, labels = generator.normal(size=(3, 20, 5)) * 4, generator.integers(0, 5, 20)
    probabilities = softmax(values, axis=-1)[:, np.arange(20), labels]
    np.testing.assert_allclose(log_doubt(values, labels), np.log(1 - probabilities), rtol=1e-9, atol=1e-14)
    np.testing.assert_allclose(
        log_mean_doubt(values, labels), np.log(1 - probabilities.mean(axis=0)), rtol=1e-9, atol=1e-14
    )


def test_doubt_is_never_above_one_nor_lost() -> None:
    values = np.array([[0.0, 300.0], [300.0, 0.0]])
    np.testing.assert_allclose(log_doubt(values, np.array([0, 0])), [0.0, -300.0])
