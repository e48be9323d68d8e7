"""Density of the last hidden layer, and uncertainty of the label."""

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.neighbors import KernelDensity as Reference

from evaluation.baselines import dropout
from evaluation.baselines.dropout import DropoutSettings
from evaluation.baselines.kernel_density import KernelDensity, choose_bandwidth, log_density
from evaluation.baselines.layers import last_hidden
from evaluation.workspace import Workspace
from mutant_store.datasets import ImageData
from mutant_store.networks.inference import logits
from mutant_store.networks.weights import TrainedModel


def test_the_density_is_scikit_learn_s() -> None:
    generator = np.random.default_rng(0)
    points, queries = generator.normal(size=(40, 6)), generator.normal(size=(700, 6)) * 3
    expected = Reference(bandwidth=0.7).fit(points).score_samples(queries)
    np.testing.assert_allclose(log_density(queries, points, 0.7), expected, rtol=1e-6)


def test_the_bandwidth_is_near_the_best_for_normal_data() -> None:
    generator = np.random.default_rng(1)  # another generator than the one that chooses the held-out images
    labels = np.repeat([0, 1], 1_000)
    values = 5 * generator.normal(size=(2_000, 2)) + 100 * labels[:, None]
    # Silverman's rule for a normal distribution, in standard deviations:
    # (4 / (n (d + 2)))^(1 / (d + 4)).
    rule = 5 * (4 / (950 * 4)) ** (1 / 6)
    others = 5 * generator.normal(size=(2_000, 2))
    chosen, best = (
        Reference(bandwidth=bandwidth).fit(values[labels == 0]).score(others) / len(others)
        for bandwidth in (choose_bandwidth(values, labels, 0), rule)
    )
    assert chosen == pytest.approx(best, abs=0.05)


def test_features_are_density_under_the_label_and_variance_over_passes(
    model: TrainedModel, train: ImageData, asked: ImageData, workspace: Workspace
) -> None:
    settings = DropoutSettings(0.5, 1, None, 12)
    detector = KernelDensity(settings)
    detector.fit(model, train, 2, workspace)
    features = detector.features(asked.images)
    label = logits(model.network, model.classifier, asked.images).argmax(axis=1)
    hidden, known = last_hidden(model, asked.images), last_hidden(model, train.images)
    for position in range(0, len(asked), 9):
        reference = Reference(bandwidth=detector.bandwidth).fit(known[train.labels == label[position]])
        expected = -reference.score_samples(hidden[position : position + 1])[0]
        np.testing.assert_allclose(features[position, 0], expected, rtol=1e-4)
    answers = dropout.fitted(model, train, settings, 2, workspace).logits(asked.images)
    probabilities = softmax(answers.astype(float), axis=-1)
    variance = (probabilities**2).mean(axis=0) - probabilities.mean(axis=0) ** 2
    np.testing.assert_allclose(features[:, 1], variance.mean(axis=1), rtol=1e-4, atol=1e-9)
