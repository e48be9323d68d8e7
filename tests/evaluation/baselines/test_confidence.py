"""Scores from the softmax."""

from decimal import Decimal, localcontext

import numpy as np
import pytest
from scipy.special import softmax

from evaluation.baselines.confidence import Confidence, Entropy, Margin


def test_they_are_what_their_names_say() -> None:
    values = np.random.default_rng(0).normal(size=(50, 10)).astype(np.float32) * 3
    probabilities = softmax(values.astype(np.float64), axis=1)
    ordered = np.sort(probabilities, axis=1)
    np.testing.assert_allclose(Confidence().of_logits(values), np.log(1 - ordered[:, -1]), rtol=1e-9)
    np.testing.assert_allclose(
        Margin().of_logits(values), np.log(1 - (ordered[:, -1] - ordered[:, -2])), rtol=1e-9
    )
    entropy = -(probabilities * np.log(probabilities)).sum(axis=1)
    np.testing.assert_allclose(Entropy().of_logits(values), entropy, rtol=1e-9)


@pytest.mark.parametrize("top", [5.0, 40.0, 60.0, 200.0])
def test_saturated_probabilities_are_exact(top: float) -> None:
    values = np.array([[top, 0.0, -1.0]], dtype=np.float32)
    with localcontext() as context:
        context.prec = 200
        powers = [Decimal(float(value)).exp() for value in values[0]]
        probabilities = [power / sum(powers) for power in powers]
        doubt = (1 - probabilities[0]).ln()
        margin = (1 - (probabilities[0] - probabilities[1])).ln()
        entropy = -sum(probability * probability.ln() for probability in probabilities)
        assert Confidence().of_logits(values)[0] == pytest.approx(float(doubt), rel=1e-12)
        assert Margin().of_logits(values)[0] == pytest.approx(float(margin), rel=1e-12)
        assert Entropy().of_logits(values)[0] == pytest.approx(float(entropy), rel=1e-9)


def test_a_tie_is_as_doubtful_as_can_be() -> None:
    values = np.zeros((1, 2), dtype=np.float32)
    assert Confidence().of_logits(values)[0] == pytest.approx(np.log(0.5))
    assert Margin().of_logits(values)[0] == pytest.approx(0.0)
    assert Entropy().of_logits(values)[0] == pytest.approx(np.log(2))
