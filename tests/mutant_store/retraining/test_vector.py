"""What is learned is what the bank holds, or it is refused."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mutant_guard.errors import ModelError
from mutant_guard.store.model_card import ModelCard
from mutant_store.graph.classifier import load_classifier
from mutant_store.graph.graph import Graph
from mutant_store.graph.neurons import find_layers
from mutant_store.graph.parameters import Parameters
from mutant_store.networks.onnx_export import to_onnx
from mutant_store.networks.resnet import Block
from mutant_store.retraining.job import ORIGINAL_MODEL, Job
from mutant_store.retraining.vector import parameters_of

pytestmark = pytest.mark.slow

PROBE = torch.rand(4, 1, 8, 8)


class Folded(nn.Module):
    """Batch normalisations that all follow a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.block = Block(1, 4, 2)
        self.dense = nn.Linear(4, 3)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [N, 3]."""
        logits: Tensor = self.dense(self.block(images).mean((2, 3)))
        return logits


class Unfolded(Folded):
    """And one that reads the image."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(1)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [N, 3]."""
        return super().forward(self.norm(images).relu())


def shaken(network: nn.Module) -> nn.Module:
    for value in network.state_dict().values():
        if value.is_floating_point():
            value.add_(torch.rand(value.shape) * 0.5)
    return network.eval()


def graph_of(network: nn.Module, job: Job) -> Graph:
    import onnx

    model = load_classifier(onnx.load_from_string(to_onnx(network, ModelCard(), PROBE.numpy()))).model
    (job.folder / ORIGINAL_MODEL).write_bytes(model.SerializeToString())
    return Graph(model)


def test_batch_normalisation_is_folded_as_in_the_original(make_job: Callable[..., Job]) -> None:
    job, network = make_job(made=False), shaken(Folded())
    graph = graph_of(network, job)
    layers = find_layers(graph)
    before = Parameters(graph, layers).values
    assert np.array_equal(parameters_of(job, network, PROBE), before)
    values = parameters_of(job, shaken(network), PROBE)
    assert values.shape == before.shape
    assert not np.allclose(values, before)


def test_what_cannot_be_folded_is_refused(make_job: Callable[..., Job]) -> None:
    job, network = make_job(made=False), shaken(Unfolded())
    graph_of(network, job)
    with pytest.raises(ModelError, match="a batch normalisation that cannot be folded"):
        parameters_of(job, shaken(network), PROBE)


def test_another_network_is_refused(make_job: Callable[..., Job]) -> None:
    job = make_job(made=False)
    graph_of(shaken(Folded()), job)
    with pytest.raises(ModelError, match="not the original with other weights"):
        parameters_of(job, nn.Sequential(nn.Flatten(), nn.Linear(64, 3)).eval(), PROBE)
