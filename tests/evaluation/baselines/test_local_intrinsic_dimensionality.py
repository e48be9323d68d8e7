"""Dimensionality of neighbourhoods."""

import numpy as np
import pytest

from evaluation.baselines import sample
from evaluation.baselines.layers import activations
from evaluation.baselines.local_intrinsic_dimensionality import LocalIntrinsicDimensionality, dimensionality
from evaluation.workspace import Workspace
from mutant_store.datasets import ImageData
from mutant_store.networks.weights import TrainedModel


def test_points_in_a_subspace_have_its_dimensions() -> None:
    generator = np.random.default_rng(0)
    for dimensions in (2, 5):
        mixing, _ = np.linalg.qr(generator.normal(size=(9, dimensions)))
        points, inner = (generator.uniform(-1, 1, (size, dimensions)) @ mixing.T for size in (10_000, 200))
        estimates = dimensionality(inner / 4, points, 100)
        assert estimates.mean() == pytest.approx(dimensions, rel=0.1)


def test_degenerate_neighbourhoods_stay_finite() -> None:
    corners = np.eye(6)
    assert dimensionality(np.zeros((1, 6)), corners, 4)[0] == pytest.approx(1e6)
    assert dimensionality(np.zeros((1, 6)), np.zeros((6, 6)), 4)[0] == 0
    line = np.arange(1.0, 7.0)[:, None]
    alone = dimensionality(np.array([[3.0]]), line, 3)[0]
    assert alone == pytest.approx(dimensionality(np.array([[3.0]]), np.delete(line, 2, axis=0), 3)[0])


def test_features_by_brute_force(
    model: TrainedModel, train: ImageData, asked: ImageData, workspace: Workspace
) -> None:
    detector = LocalIntrinsicDimensionality(10, 40)
    detector.fit(model, train, 6, workspace)
    features = detector.features(asked.images)
    (known,) = activations(model, sample(train, 40, 6).images)
    (values,) = activations(model, asked.images)
    for layer in range(len(known)):
        references = known[layer].flatten(1).double().numpy()
        for position in range(0, len(asked), 13):
            own = values[layer][position].flatten().double().numpy()
            radii = sorted(np.sqrt(((own - reference) ** 2).sum()) for reference in references)[:10]
            expected = -1 / np.mean([np.log(radius / radii[-1]) for radius in radii])
            assert features[position, layer] == pytest.approx(expected, rel=1e-4)


def test_too_few_references_are_refused(model: TrainedModel, train: ImageData, workspace: Workspace) -> None:
    with pytest.raises(ValueError, match="20 neighbours cannot be found among 20 references"):
        LocalIntrinsicDimensionality(20, 20)
    with pytest.raises(ValueError, match="20 neighbours cannot be found among 15 training images"):
        LocalIntrinsicDimensionality(20, 100).fit(model, train.part(0, 15), 0, workspace)
