"""The tiny classifier with a store of NAI mutants, and images that it labels rightly."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from evaluation.adaptive.attack import Victims
from evaluation.adaptive.mutants import Mutants
from evaluation.adaptive.stored_mutants import from_store
from mutant_guard.store.reader import Store, load_store
from mutant_store.datasets import ImageData, load
from mutant_store.networks import weights
from mutant_store.networks.inference import logits
from mutant_store.networks.weights import TrainedModel
from mutant_store.threads import one_thread
from tests.support.demo import build_digits_store


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="session")
def model(tiny_model: Path) -> TrainedModel:
    return weights.load(tiny_model.with_suffix(".safetensors"))


@pytest.fixture(scope="session")
def store(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    path = tmp_path_factory.mktemp("adaptive") / "tiny"
    build_digits_store(tiny_model, path, mutants=40)
    return load_store(path)


@pytest.fixture(scope="session")
def mutants(store: Store, model: TrainedModel) -> Mutants:
    return from_store(store, model)


@pytest.fixture(scope="session")
def right(model: TrainedModel) -> ImageData:
    """Return forty test images that the classifier labels rightly."""
    data = load("digits@test").part(0, 100)
    places = np.flatnonzero(
        logits(model.network, model.classifier, data.images).argmax(axis=1) == data.labels
    )[:40]
    assert len(places) == 40
    return ImageData(data.images[places], data.labels[places], data.class_names, data.range)


@pytest.fixture
def victims(mutants: Mutants, right: ImageData) -> Victims:
    """Return the first twelve of these images under attack, with all forty as guides."""
    clean = torch.from_numpy(right.images.transpose(0, 3, 1, 2).copy()).float() / 255
    labels = torch.from_numpy(right.labels)
    with torch.no_grad():
        found = mutants.original(clean)
    generator = torch.Generator().manual_seed(0)
    return Victims(mutants, clean[:12], labels[:12], found[:12], clean, labels, generator)
