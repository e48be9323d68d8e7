"""Which neurons are redrawn, and that nothing else is."""

import copy
from math import ceil

import pytest
import torch
from torch import Tensor, nn

from mutant_guard.errors import ModelError
from mutant_store.networks.resnet import Block
from mutant_store.retraining.redraw import initialise, redraw


class Small(nn.Module):
    """A convolution with batch normalisation, a residual block, and a dense layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.block = Block(6, 10, 2)
        self.dense = nn.Linear(10, 3)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [N, 3]."""
        features = self.block(self.norm(self.conv(images)).relu())
        logits: Tensor = self.dense(features.mean((2, 3)))
        return logits


NORMS = {
    "conv": "norm",
    "block.conv1": "block.norm1",
    "block.conv2": "block.norm2",
    "block.shortcut.0": "block.shortcut.1",
}
PROBE = torch.zeros(2, 1, 8, 8)


def pair() -> tuple[Small, Small]:
    torch.manual_seed(0)
    trained, fresh = Small(), Small()
    for network in (trained,):  # as if it were trained: no entry as it is initialised
        for value in network.state_dict().values():
            if value.is_floating_point():
                value.add_(torch.rand(value.shape) + 0.1)
    return trained, fresh


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_exactly_the_share_of_every_layer_is_redrawn_with_all_that_belongs_to_it(share: float) -> None:
    trained, fresh = pair()
    before = copy.deepcopy(trained.state_dict())
    chosen = redraw(trained, fresh, share, PROBE, torch.Generator().manual_seed(1))
    after, source = trained.state_dict(), fresh.state_dict()
    assert list(chosen) == ["conv", "block.conv1", "block.conv2", "block.shortcut.0", "dense"]
    for layer, picked in chosen.items():
        total = len(after[f"{layer}.weight"])
        assert len(picked) == len(set(picked)) == ceil(share * total)
        rest = sorted(set(range(total)) - set(picked))
        entries = [f"{layer}.weight", f"{layer}.bias"]
        if layer in NORMS:
            entries += [
                f"{NORMS[layer]}.{part}" for part in ("weight", "bias", "running_mean", "running_var")
            ]
        for name in entries:
            if name not in after:
                continue
            assert torch.equal(after[name][picked], source[name][picked]), name
            assert torch.equal(after[name][rest], before[name][rest]), name


def test_other_seeds_choose_other_neurons() -> None:
    chosen = [redraw(*pair(), 0.5, PROBE, torch.Generator().manual_seed(seed)) for seed in (1, 2)]
    assert chosen[0] != chosen[1]


def test_a_network_that_comes_with_the_trained_weights_is_initialised_anew() -> None:
    trained, _ = pair()
    fresh = copy.deepcopy(trained)
    initialise(fresh, trained)
    for (name, mine), other in zip(fresh.state_dict().items(), trained.state_dict().values(), strict=True):
        assert name.endswith("num_batches_tracked") or not torch.equal(mine, other), name
    _, untrained = pair()
    before = copy.deepcopy(untrained.state_dict())
    initialise(untrained, trained)
    assert all(torch.equal(value, before[name]) for name, value in untrained.state_dict().items())


def test_a_network_without_layers_is_refused() -> None:
    network = nn.Flatten()
    with pytest.raises(ModelError, match="neither convolutions nor dense layers"):
        redraw(network, network, 0.5, PROBE, torch.Generator())
