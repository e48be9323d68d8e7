"""Label changes under noise."""

import numpy as np

from evaluation.baselines.input_perturbation import InputPerturbation
from evaluation.workspace import Workspace
from mutant_store.datasets import ImageData
from mutant_store.networks.inference import logits
from mutant_store.networks.weights import TrainedModel


def test_noise_has_its_size_and_is_the_image_s_own() -> None:
    detector = InputPerturbation(0.1, 400)
    grey = np.full((8, 8, 1), 128, np.uint8)
    copies = detector.copies(grey)
    assert copies.shape == (400, 8, 8, 1)
    assert abs(copies.mean() - 128) < 1
    assert abs(copies.std() - 25.5) < 0.5
    np.testing.assert_array_equal(copies, detector.copies(grey))
    other = grey.copy()
    other[0, 0] += 1
    assert np.corrcoef(copies.ravel(), detector.copies(other).ravel())[0, 1] < 0.1
    black = detector.copies(np.zeros((8, 8, 1), np.uint8))
    assert 0.4 < (black == 0).mean() < 0.6


def test_the_score_is_the_share_of_changed_labels(
    model: TrainedModel, train: ImageData, asked: ImageData, workspace: Workspace
) -> None:
    detector = InputPerturbation(0.2, 21)
    detector.fit(model, train, 5, workspace)
    label = logits(model.network, model.classifier, asked.images).argmax(axis=1)
    expected = [
        np.mean(logits(model.network, model.classifier, detector.copies(image)).argmax(axis=1) != own)
        for image, own in zip(asked.images, label, strict=True)
    ]
    np.testing.assert_allclose(detector.scores(asked.images), expected)
    assert max(expected) > 0.1


def test_another_seed_draws_other_noise(
    model: TrainedModel, train: ImageData, asked: ImageData, workspace: Workspace
) -> None:
    first, second = InputPerturbation(0.1, 4), InputPerturbation(0.1, 4)
    first.fit(model, train, 1, workspace)
    second.fit(model, train, 2, workspace)
    assert not np.array_equal(first.copies(asked.images[0]), second.copies(asked.images[0]))
