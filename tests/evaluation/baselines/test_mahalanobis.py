"""Mahalanobis distances to the nearest class."""

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from evaluation.baselines.layers import activations
from evaluation.baselines.mahalanobis import Gaussians, Mahalanobis, averaged, whiten
from evaluation.workspace import Workspace
from mutant_store.datasets import ImageData
from mutant_store.networks.weights import TrainedModel


def test_a_layer_is_averaged_over_positions(model: TrainedModel, asked: ImageData) -> None:
    (layers,) = activations(model, asked.images)
    (means,) = averaged(model, asked.images)
    np.testing.assert_allclose(means[0], layers[0].numpy().mean(axis=(2, 3)), rtol=1e-5)
    np.testing.assert_allclose(means[1], layers[1].numpy(), rtol=1e-6)


def test_distances_are_those_of_scikit_learn_s_means_and_covariance(
    model: TrainedModel, train: ImageData, asked: ImageData, workspace: Workspace
) -> None:
    detector = Mahalanobis()
    detector.fit(model, train, 0, workspace)
    features = detector.features(asked.images)
    known = [np.concatenate(parts) for parts in zip(*averaged(model, train.images), strict=True)]
    (values,) = averaged(model, asked.images)
    assert features.shape == (len(asked), len(known))
    for layer in (0, len(known) - 1):  # the layers of full rank
        analysis = LinearDiscriminantAnalysis(solver="lsqr", store_covariance=True)
        analysis.fit(known[layer], train.labels)
        inverse = np.linalg.inv(analysis.covariance_)
        for position in range(0, len(asked), 11):
            deviations = values[layer][position] - analysis.means_
            expected = min(deviation @ inverse @ deviation for deviation in deviations)
            assert features[position, layer] == pytest.approx(expected, rel=1e-3)


def test_directions_without_variance_are_left_out() -> None:
    generator = np.random.default_rng(0)
    mixing = generator.normal(size=(3, 3))
    covariance = np.zeros((4, 4))
    covariance[:3, :3] = mixing @ mixing.T
    whitening = whiten(covariance)
    assert whitening.shape == (4, 3)
    np.testing.assert_allclose(whitening @ whitening.T, np.linalg.pinv(covariance), atol=1e-9)
    gaussians = Gaussians(whitening, np.zeros((1, 3)))
    assert gaussians.distances(np.array([[0.0, 0.0, 0.0, 9.0]]))[0] == pytest.approx(0.0)


def test_a_class_without_images_is_nobody_s_nearest(
    model: TrainedModel, train: ImageData, asked: ImageData, workspace: Workspace
) -> None:
    kept = train.labels != 3
    some = ImageData(train.images[kept], train.labels[kept], train.class_names, train.range)
    detector = Mahalanobis()
    detector.fit(model, some, 0, workspace)
    assert np.isfinite(detector.features(asked.images)).all()
