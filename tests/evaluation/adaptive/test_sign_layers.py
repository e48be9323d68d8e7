"""Layers are found in the order they run, and folding changes no score."""

import pytest
import torch
from torch import Tensor, nn

from evaluation.adaptive.sign_layers import folded_copy
from mutant_guard.errors import ModelError
from mutant_store.networks.resnet import ResNet20
from tests.support.networks import randomised


class Backwards(nn.Module):
    """Network that registers its layers in reverse of their running order, and runs one twice."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.again = nn.Conv2d(4, 4, 1)
        self.stem = nn.Conv2d(1, 4, 3, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        features = self.norm(self.stem(images)).relu()
        features = self.again(self.again(features))
        scores: Tensor = self.dense(features.mean((2, 3)))
        return scores


def test_layers_are_numbered_in_the_order_they_run() -> None:
    network = randomised(Backwards(), 0)
    images = torch.rand(5, 1, 6, 6)
    copied, layers = folded_copy(network, images[:1])
    assert [(type(layer.module), layer.first, layer.neurons) for layer in layers] == [
        (nn.Conv2d, 0, 4),
        (nn.Conv2d, 4, 4),
        (nn.Linear, 8, 3),
    ]
    assert isinstance(copied.get_submodule("norm"), nn.Identity)
    torch.testing.assert_close(copied(images), network(images), rtol=1e-4, atol=1e-5)


def test_a_residual_network_is_folded_and_the_original_left_alone() -> None:
    network = ResNet20().eval()
    state = {name: value.clone() for name, value in network.state_dict().items()}
    images = torch.rand(3, 3, 32, 32)
    copied, layers = folded_copy(network, images[:1])
    assert layers[-1].first + layers[-1].neurons == 794
    assert not any(isinstance(part, nn.BatchNorm2d) for part in copied.modules())
    assert not any(parameter.requires_grad for parameter in copied.parameters())
    torch.testing.assert_close(copied(images), network(images), rtol=1e-3, atol=1e-3)
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_a_network_without_layers_is_refused() -> None:
    with pytest.raises(ModelError, match="nothing to mutate"):
        folded_copy(nn.Flatten(), torch.rand(1, 1, 4, 4))
