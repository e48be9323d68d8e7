"""Intervals through networks: they hold what any image of a box gives."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mutant_guard.errors import ModelError
from mutant_store.networks.strided import Strided
from mutant_store.robust.intervals import check_layers, initialise, worst_logits
from mutant_store.robust.job import RobustJob
from mutant_store.robust.objectives import box_logits, shown


def random_network(seed: int, channels: int, groups: int) -> nn.Sequential:
    torch.manual_seed(seed)
    network = nn.Sequential(
        nn.Conv2d(2, channels, 3, 2, padding=1, groups=groups),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(channels * 9, 7, bias=False),
        nn.BatchNorm1d(7),
        nn.ReLU(),
        nn.Linear(7, 4),
    )
    for layer in network:
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            assert layer.running_mean is not None
            assert layer.running_var is not None
            layer.running_mean.uniform_(-1, 1)
            layer.running_var.uniform_(0.5, 2)
            layer.weight.data.uniform_(-2, 2)
            layer.bias.data.uniform_(-1, 1)
    return network.eval()


@settings(max_examples=20)
@given(
    seed=st.integers(0, 1000),
    channels=st.sampled_from([2, 4]),
    groups=st.sampled_from([1, 2]),
    radius=st.floats(0, 0.5),
)
def test_no_image_of_a_box_is_worse(seed: int, channels: int, groups: int, radius: float) -> None:
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        network = random_network(seed, channels, groups)
        clean, labels = torch.rand(3, 2, 6, 6), torch.tensor([0, 1, 3])
        logits, worst = worst_logits(network, clean, clean - radius, clean + radius, labels)
        assert torch.allclose(logits, network(clean), atol=1e-5)
        signs = torch.randint(-1, 2, (200, 1, 2, 6, 6)).float()
        images = clean + radius * signs * torch.rand(200, 1, 1, 1, 1)
        found = network(images.flatten(0, 1)).view(200, 3, 4)
        leads = found - found.gather(2, labels.expand(200, 3)[..., None])
        assert (leads <= worst + 1e-4 * (1 + worst.abs())).all()
        assert worst[range(3), labels].abs().max() == 0


def test_a_box_of_one_image_is_that_image_in_training_too() -> None:
    """Batch normalisation takes the statistics of the clean batch for both."""
    network = Strided((8, 8, 1), 5, channels=(4,), dense=6, grey=(0.3, 0.5)).build()
    clean, labels = torch.rand(6, 1, 8, 8), torch.tensor([0, 1, 2, 3, 4, 0])
    logits, worst = worst_logits(network.train(), clean, clean, clean, labels)
    assert torch.allclose(worst, logits - logits.gather(1, labels[:, None]), atol=1e-5)


def test_initial_weights_keep_the_size_of_intervals() -> None:
    """The radius of eight layers changes by a small factor; torch's own weights blow it up."""
    radii = []
    for start in (initialise, lambda network: None):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = nn.Sequential(*(nn.Linear(200, 200) for _ in range(8)))
            start(network)
        radius = torch.ones(200)
        for weights in network.parameters():
            if weights.ndim == 2:
                radius = weights.detach().abs() @ radius / 2  # a rectifier halves an interval around 0
        radii.append(float(radius.mean()))
    assert 0.5 < radii[0] < 2
    assert radii[1] > 100 * radii[0]


def test_pixels_stay_in_their_range(make_job: Callable[..., RobustJob]) -> None:
    """Beyond a size of 1 every box is that of all images."""
    job = make_job()
    network = job.start(0).eval()
    pixels, labels = torch.rand(4, 1, 8, 8), torch.arange(4)
    found = [box_logits(job, network, pixels, labels, torch.full((4, 1, 1, 1), s))[1] for s in (1.0, 3.0)]
    assert torch.equal(*found)
    assert not shown(found[0], labels).any()


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (nn.Sequential(nn.Flatten(), nn.Tanh(), nn.Linear(4, 2)), "and this one has Tanh: give such"),
        (nn.Sequential(nn.Linear(4, 2), nn.ReLU()), "and this one does otherwise"),
        (nn.Bilinear(1, 2, 3), "this one has Bilinear"),
    ],
)
def test_other_networks_are_refused(network: nn.Module, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        check_layers(network)
