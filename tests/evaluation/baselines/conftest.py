"""A tiny classifier, the images it was trained on, and others."""

from pathlib import Path

import pytest

from evaluation.workspace import Workspace
from mutant_store.datasets import ImageData, load
from mutant_store.networks import weights
from mutant_store.networks.weights import TrainedModel


@pytest.fixture(scope="session")
def model(tiny_model: Path) -> TrainedModel:
    return weights.load(tiny_model.with_suffix(".safetensors"))


@pytest.fixture(scope="session")
def train() -> ImageData:
    return load("digits@train[0:300]")


@pytest.fixture(scope="session")
def asked() -> ImageData:
    """Return images to score."""
    return load("digits@test[0:60]")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


@pytest.fixture(scope="session")
def shared_workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Return a workspace that keeps trained networks for tests of anything but the training."""
    return Workspace(tmp_path_factory.mktemp("baselines"))
