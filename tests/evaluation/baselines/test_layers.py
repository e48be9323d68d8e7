"""Activations that hooks read from the layers of every network."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from evaluation.baselines.layers import activations, last_hidden
from mutant_store.datasets import ImageData
from mutant_store.networks import CLASSIFIERS
from mutant_store.networks.digits_net import DigitsNet
from mutant_store.networks.inference import logits, normalised
from mutant_store.networks.weights import TrainedModel

WIDTHS = {
    "digits-net": [(16, 8, 8), (512,), (48,), (10,)],
    "lenet": [(6, 14, 14), (400,), (120,), (84,), (10,)],
    "resnet20": [(16, 32, 32)] * 7 + [(32, 16, 16)] * 6 + [(64, 8, 8)] * 5 + [(64,), (10,)],
}


@pytest.mark.parametrize("name", WIDTHS)
def test_every_layer_comes_once_in_order(name: str) -> None:
    classifier = CLASSIFIERS[name]
    torch.manual_seed(0)
    model = TrainedModel(name, classifier.build(10).eval(), classifier)
    images = np.random.default_rng(0).integers(0, 256, (3, *classifier.shape)).astype(np.uint8)
    (layers,) = list(activations(model, images))
    assert [tuple(layer.shape[1:]) for layer in layers] == WIDTHS[name]
    np.testing.assert_allclose(layers[-1].numpy(), logits(model.network, classifier, images), rtol=1e-5)
    assert all(float(layer.min()) >= 0 for layer in layers[:-1])


def test_the_activations_are_the_network_s_and_no_hook_stays(model: TrainedModel, asked: ImageData) -> None:
    network = model.network
    assert isinstance(network, DigitsNet)
    many = np.repeat(asked.images, 5, axis=0)
    batches = list(activations(model, many))
    assert [len(layers[0]) for layers in batches] == [250, 50]
    with torch.inference_mode():
        inputs = torch.from_numpy(normalised(model.classifier, many))
        first = network.conv1(inputs).relu()
        second = network.pool(network.conv2(first).relu()).flatten(1)
        third = network.dense1(second).relu()
    for position, expected in enumerate((first, second, third)):
        found = torch.cat([layers[position] for layers in batches])
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(last_hidden(model, many), third.numpy(), rtol=1e-4, atol=1e-5)
    assert not any(module._forward_pre_hooks for module in network.modules())


def test_hooks_go_when_the_network_fails(model: TrainedModel, asked: ImageData) -> None:
    other = replace(model, classifier=CLASSIFIERS["lenet"])
    with pytest.raises((RuntimeError, ValueError)):
        list(activations(other, np.zeros((1, 28, 28, 1), np.uint8)))
    assert not any(module._forward_pre_hooks for module in model.network.modules())
    assert len(list(activations(model, asked.images))) == 1
