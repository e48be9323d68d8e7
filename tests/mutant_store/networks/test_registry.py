"""The registered classifiers."""

import pytest
import torch
from torch import nn

from mutant_store.datasets import parse
from mutant_store.networks import CLASSIFIERS


@pytest.mark.parametrize(
    ("name", "parameters", "neurons"),
    [
        ("digits-net", 29_914, 106),
        ("lenet", 61_706, 236),
        ("resnet20", 272_474, 794),
        ("googlenet", 6_166_250, 7_914),
    ],
)
def test_sizes_are_the_published_ones(name: str, parameters: int, neurons: int) -> None:
    model = CLASSIFIERS[name].build(10)
    assert sum(weights.numel() for weights in model.parameters()) == parameters
    layers = [module for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    assert sum(len(layer.weight) for layer in layers) == neurons


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_settings_fit_the_network(name: str) -> None:
    classifier = CLASSIFIERS[name]
    height, width, channels = classifier.shape
    assert len(classifier.mean) == len(classifier.std) == channels
    assert parse(classifier.data).split == "train"
    logits = classifier.build(7)(torch.zeros(2, channels, height, width))
    assert logits.shape == (2, 7)


@pytest.mark.parametrize("there", [True, False])
def test_bfloat16_is_for_devices_that_have_it(monkeypatch: pytest.MonkeyPatch, there: bool) -> None:
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: there)
    resnet, lenet = CLASSIFIERS["resnet20"], CLASSIFIERS["lenet"]
    assert resnet.bf16_on("cpu") == there
    assert resnet.bf16_on("cuda")
    assert not lenet.bf16_on("cuda")
    assert torch.ops.mkldnn._is_mkldnn_bf16_supported() is there
