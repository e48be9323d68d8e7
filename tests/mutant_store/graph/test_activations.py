from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from mutant_guard.bank.pool import of
from mutant_guard.errors import ModelError
from mutant_store.bank.builder import build_bank
from mutant_store.graph.activations import Activations
from mutant_store.graph.classifier import Classifier, load_classifier
from mutant_store.graph.graph import Graph
from mutant_store.graph.neurons import find_layers
from tests.support.networks import convolutional, export, randomised


class Windows(nn.Module):
    """Network that folds windows of an image into the batch, for a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Conv2d(1, 5, (2, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.dense(x.reshape(-1, 1, 2, 4)).reshape(-1, 16, 5).mean(1)
        return scores


class Summed(nn.Module):
    """Network that adds something of the whole batch to every image."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(128, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        flat = x.flatten(1)
        scores: torch.Tensor = self.dense(flat) + flat.sum(0, keepdim=True)[:, :5]
        return scores


def exported(module: nn.Module, path: Path) -> tuple[Classifier, np.ndarray]:
    classifier = load_classifier(export(randomised(module, 1), (2, 8, 8), path))
    return classifier, np.random.default_rng(0).standard_normal((5, 2, 8, 8)).astype(np.float32)


def test_layers_learn_their_rank_and_size(tmp_path: Path) -> None:
    classifier, inputs = exported(convolutional(2, 8, (4, 6), 5), tmp_path / "m.onnx")
    layers = Activations(classifier, inputs).measured(find_layers(Graph(classifier.model)))
    assert [(use.rank, use.outputs) for layer in layers for use in layer.uses] == [
        (4, 4 * 8 * 8),
        (4, 6 * 4 * 4),
        (2, 12),
        (2, 5),
    ]


def test_rows_that_are_not_images_are_refused_by_name(tmp_path: Path) -> None:
    classifier, inputs = exported(Windows(), tmp_path / "m.onnx")
    with pytest.raises(
        ModelError, match=r"dense.*has shape \[32, 5, 1, 1\] for 2 images, so its rows are not images"
    ):
        Activations(classifier, inputs).measured(find_layers(Graph(classifier.model)))


def test_what_depends_on_the_other_images_is_refused_by_name(tmp_path: Path) -> None:
    classifier, inputs = exported(Summed(), tmp_path / "m.onnx")
    pool = of("nai", [{"neurons": np.array([0], np.int32)}])
    with pytest.raises(ModelError, match="neither one row an image nor constant"):
        build_bank(classifier, find_layers(Graph(classifier.model)), pool, inputs)


def test_an_unknown_tensor_has_no_shape(tmp_path: Path) -> None:
    classifier, inputs = exported(convolutional(2, 8, (4, 6), 5), tmp_path / "m.onnx")
    activations = Activations(classifier, inputs)
    assert activations.shape("nothing of this name") is None
    assert activations.shape("images") == (2, 8, 8)
    assert activations.constant("images") is None
