"""Properties that hold for every baseline."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.exceptions import NotFittedError

from evaluation.baselines import Detector, FeatureDetector, baselines, sample
from evaluation.baselines.base import fingerprint_of_images
from evaluation.baselines.settings import BaselineSettings
from evaluation.workspace import Workspace
from mutant_store.datasets import ImageData
from mutant_store.networks.weights import TrainedModel

pytestmark = pytest.mark.slow

SETTINGS = BaselineSettings(
    perturbation_draws=8, dropout_epochs=1, dropout_passes=6, ensemble_members=2, ensemble_epochs=2
)
NAMES = [detector.name for detector in baselines(SETTINGS)]


def of_name(name: str) -> Detector | FeatureDetector:
    return baselines(SETTINGS)[NAMES.index(name)]


def answers(detector: Detector | FeatureDetector, images: NDArray[np.uint8]) -> NDArray[np.float64]:
    return detector.scores(images) if isinstance(detector, Detector) else detector.features(images)


@pytest.mark.parametrize("name", NAMES)
def test_answers_are_finite_and_depend_on_the_image_alone(
    name: str, model: TrainedModel, train: ImageData, asked: ImageData, shared_workspace: Workspace
) -> None:
    detector = of_name(name)
    detector.fit(model, train, 3, shared_workspace)
    whole = answers(detector, asked.images)
    assert whole.dtype == np.float64
    assert whole.shape[0] == len(asked)
    assert whole.ndim == (2 if detector.trained_on_attacks else 1)
    assert np.isfinite(whole).all()
    assert len(np.unique(whole, axis=0)) > 5
    order = np.random.default_rng(0).permutation(len(asked))
    parts = [answers(detector, asked.images[order[start : start + 7]]) for start in range(0, len(asked), 7)]
    np.testing.assert_allclose(np.concatenate(parts), whole[order], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_answers(
    name: str, model: TrainedModel, train: ImageData, asked: ImageData, workspace: Workspace
) -> None:
    first, second = of_name(name), of_name(name)
    first.fit(model, train, 3, workspace.within("first"))
    second.fit(model, train, 3, workspace.within("second"))
    np.testing.assert_allclose(answers(first, asked.images), answers(second, asked.images), rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_answered_before_fitting(name: str, asked: ImageData) -> None:
    with pytest.raises(NotFittedError, match="is not fitted"):
        answers(of_name(name), asked.images)


def test_wrongly_labelled_images_are_more_suspicious(
    model: TrainedModel, train: ImageData, asked: ImageData, shared_workspace: Workspace
) -> None:
    from mutant_store.networks.inference import logits

    wrong = logits(model.network, model.classifier, asked.images).argmax(axis=1) != asked.labels
    assert 2 <= wrong.sum() < len(asked) / 2
    for name in NAMES:
        detector = of_name(name)
        detector.fit(model, train, 3, shared_workspace)
        if isinstance(detector, Detector):
            scores = detector.scores(asked.images)
            assert scores[wrong].mean() > scores[~wrong].mean(), name


def test_passes_count_the_classifier() -> None:
    passes = {detector.name: detector.forward_passes for detector in baselines(SETTINGS)}
    assert passes["softmax confidence"] == passes["Mahalanobis"] == 1
    assert passes["input perturbation"] == 9
    assert passes["MC dropout"] == passes["kernel density + uncertainty"] == 7
    assert passes["deep ensemble"] == 2
    assert passes["feature squeezing"] == 3


def test_a_sample_keeps_images_with_their_labels(train: ImageData) -> None:
    drawn = sample(train, 50, 1)
    assert len(drawn) == 50
    found = [np.flatnonzero((train.images == image).all(axis=(1, 2, 3)))[0] for image in drawn.images]
    assert found == sorted(set(found))
    np.testing.assert_array_equal(train.labels[found], drawn.labels)
    assert fingerprint_of_images(sample(train, 50, 1)) == fingerprint_of_images(drawn)
    assert fingerprint_of_images(sample(train, 50, 2)) != fingerprint_of_images(drawn)
    assert sample(train, None, 1) is train
    assert sample(train, 10_000, 1) is train
