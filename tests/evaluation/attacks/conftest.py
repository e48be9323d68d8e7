"""The tiny classifier, and clean images that it labels rightly."""

from pathlib import Path

import numpy as np
import pytest

from mutant_store.datasets import ImageData, load
from mutant_store.networks import weights
from mutant_store.networks.inference import logits
from mutant_store.networks.weights import TrainedModel


@pytest.fixture(scope="session")
def tiny_weights(tiny_model: Path) -> Path:
    return tiny_model.with_suffix(".safetensors")


@pytest.fixture(scope="session")
def tiny(tiny_weights: Path) -> TrainedModel:
    return weights.load(tiny_weights)


@pytest.fixture(scope="session")
def clean(tiny: TrainedModel) -> ImageData:
    """Return the test images of the digits that the tiny classifier labels rightly."""
    data = load("digits@test")
    right = logits(tiny.network, tiny.classifier, data.images).argmax(axis=1) == data.labels
    assert right.sum() > 150
    return ImageData(data.images[right], data.labels[right], data.class_names, data.range)


@pytest.fixture(scope="session")
def seeds() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Return clean images, none of them in ``clean``."""
    return load("digits@holdout[0:100]").images
