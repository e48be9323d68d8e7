"""Squeezed images, and how far they move the softmax."""

import numpy as np
from scipy.special import softmax

from evaluation.baselines.feature_squeezing import FeatureSqueezing, reduce_depth, smooth
from evaluation.workspace import Workspace
from mutant_store.datasets import ImageData
from mutant_store.networks.inference import logits
from mutant_store.networks.weights import TrainedModel


def test_depth() -> None:
    every = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    np.testing.assert_array_equal(reduce_depth(every, 1), np.where(every < 128, 0, 255))
    assert len(np.unique(reduce_depth(every, 5))) == 32
    nearest = np.round(np.linspace(0, 255, 32))
    distance = np.abs(every.astype(float) - reduce_depth(every, 5))
    assert distance.max() <= np.ceil(255 / 31 / 2)
    np.testing.assert_array_equal(np.unique(reduce_depth(every, 5)), nearest)


def test_the_median_filter_takes_the_upper_middle_of_each_window_in_its_own_image_and_channel() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 5, 6, 3)).astype(np.uint8)
    expected = np.empty_like(images)
    for row in range(5):
        for column in range(6):
            # scipy centres an even window on its second pixel and mirrors at the border, repeating
            # the edge.
            rows, columns = [max(row - 1, 0), row], [max(column - 1, 0), column]
            window = images[:, rows][:, :, columns].reshape(2, 4, 3)
            expected[:, row, column] = np.sort(window, axis=1)[:, 2]
    np.testing.assert_array_equal(smooth(images, 2), expected)


def test_the_score_is_the_larger_distance(
    model: TrainedModel, train: ImageData, asked: ImageData, workspace: Workspace
) -> None:
    detector = FeatureSqueezing(2, 2)
    detector.fit(model, train, 0, workspace)
    expected = []
    for image in asked.images[:, None]:
        plain, depth, median = (
            softmax(logits(model.network, model.classifier, pixels)[0].astype(float))
            for pixels in (image, reduce_depth(image, 2), smooth(image, 2))
        )
        expected.append(max(np.abs(plain - depth).sum(), np.abs(plain - median).sum()))
    np.testing.assert_allclose(detector.scores(asked.images), expected, rtol=1e-3, atol=1e-6)
    assert max(expected) > 0.5
