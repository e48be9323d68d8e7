"""Networks of the shapes that people download, from their file to a store."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from mutant_store.build import build
from mutant_store.graph.classifier import load_classifier
from mutant_store.graph.graph import Graph
from mutant_store.graph.neurons import find_layers
from mutant_store.loading.input_spec import InputOptions
from tests.support.demo import SETTINGS, SilentReport
from tests.support.modern_networks import bottlenecks, channels_last, convnext, efficient
from tests.support.networks import export, settled
from tests.support.transformers import VisionTransformer

CLASSES = 4
BUILD = replace(
    SETTINGS,
    selection=replace(SETTINGS.selection, mutants=6, rate=0.02, accuracy_ratio=0.6),
    calibration=SETTINGS.calibration.changed(max_false_alarm=0.3, confidence=0.8),
)
NETWORKS: dict[str, tuple[Callable[[int], nn.Module], int]] = {
    "bottlenecks": (bottlenecks, 10),
    "squeeze-and-excite": (efficient, 12),
    "convnext": (convnext, 8),
    "transformer": (lambda classes: VisionTransformer(3, 16, classes, width=16, fused=True), 10),
}
"""Networks, and the number of layers that each has."""


def photos() -> NDArray[np.uint8]:
    """Return 200 images uint8 [200, 16, 16, 3] of smooth patches of colour."""
    coarse = np.random.default_rng(0).integers(0, 256, (200, 4, 4, 3), dtype=np.uint8)
    return coarse.repeat(4, axis=1).repeat(4, axis=2)


def built(path: Path, folder: Path, options: InputOptions) -> None:
    """Build a store from a file, on images that are labelled by the file's own answers."""
    images = photos()
    classifier = load_classifier(path)
    inputs = images.astype(np.float32) / np.float32(255)
    if classifier.input_shape[0] == 3:
        inputs = np.ascontiguousarray(inputs.transpose(0, 3, 1, 2))
    labels = classifier.scores(inputs).argmax(axis=1)
    assert (np.bincount(labels, minlength=CLASSES) > 5).sum() > 1
    np.savez(folder / "data.npz", x=images, y=labels, classes=np.array(["a", "b", "c", "d"]))
    report = SilentReport()
    store = build(path, f"npz:{folder / 'data.npz'}", folder / "store", replace(BUILD, input=options), report)
    assert store.manifest.original_accuracy == 1
    assert store.manifest.mutants == 6


def balanced(module: nn.Module, seed: int) -> nn.Module:
    """Give a network with random weights classes that all of the photographs' answers share."""
    torch.manual_seed(seed)
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            part.reset_parameters()
    inputs = photos().transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)
    settled(module, inputs, seed)
    head = [part for part in module.modules() if isinstance(part, nn.Linear)][-1]
    with torch.no_grad():
        scores = module(torch.from_numpy(inputs))
        head.weight /= scores.std(0)[:, None]
        head.bias.copy_((head.bias - scores.mean(0)) / scores.std(0))
    return module


@pytest.mark.parametrize("name", NETWORKS)
def test_a_store_is_built_of_it(name: str, tmp_path: Path) -> None:
    make, layers = NETWORKS[name]
    path = export(balanced(make(CLASSES), seed=3), (3, 16, 16), tmp_path / "m.onnx")
    assert len(find_layers(Graph(load_classifier(path).model))) == layers
    built(path, tmp_path, InputOptions())


def test_a_store_is_built_of_a_file_with_channels_last(tmp_path: Path) -> None:
    path = channels_last(tmp_path / "m.onnx", CLASSES, photos().astype(np.float32) / np.float32(255))
    assert load_classifier(path).input_shape == (16, 16, 3)
    built(path, tmp_path, InputOptions())
