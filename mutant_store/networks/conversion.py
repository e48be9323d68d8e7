"""Conversion of a classifier's ONNX graph to a torch network that can be trained."""

from dataclasses import dataclass, field

import numpy as np
import onnx
import onnx2fx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mutant_guard.errors import ModelError
from mutant_guard.store.choices import Layout
from mutant_store.boundary import boundary
from mutant_store.graph.classifier import Classifier
from mutant_store.graph.graph import Graph
from mutant_store.graph.neurons import find_layers
from mutant_store.graph.parameters import Parameters

_TOLERANCE = 1e-3
"""Largest difference of scores, as a share of the largest score."""

_REMEDY = (
    "to train mutants of this classifier give the network itself: a .safetensors file of this project's training, a "
    "registered name, or module:callable with --weights"
)


class ConvertedNetwork(nn.Module):
    """Network of a graph's nodes as torch operations.

    Weights and biases of the graph's layers are the parameters. Whatever else is constant in the
    graph stays as it is.
    """

    def __init__(self, model: onnx.ModelProto, layout: Layout) -> None:
        """Convert a graph.

        Args:
            model: the model of a ``Classifier``.
            layout: order of the axes of its input.

        Raises:
            ModelError: an operator has no counterpart in torch.
        """
        super().__init__()
        graph = Graph(model)
        self._parameters_there = Parameters(graph, find_layers(graph))
        self._layout = layout
        names = []
        for position, tensor in enumerate(self._parameters_there.tensors):
            names.append(f"parameter_{position}")
            graph.rename(tensor.name, names[-1])
        with boundary(ModelError, "the ONNX graph cannot be converted to torch", _REMEDY):
            self.nodes: nn.Module = onnx2fx.convert(graph.to_model())
            for name in names:
                value = self.nodes.get_buffer(name)
                delattr(self.nodes, name)
                self.nodes.register_parameter(name, nn.Parameter(value.clone()))

    def forward(self, images: Tensor) -> Tensor:
        """Return scores [N, classes] of normalised images float32 [N, C, H, W]."""
        scores: Tensor = self.nodes(self.laid_out(images))
        return scores

    def laid_out(self, images: Tensor) -> Tensor:
        """Return images [N, C, H, W] in the layout of the graph's input."""
        if self._layout == "nchw":
            return images
        images = images.permute(0, 2, 3, 1).contiguous()
        return images.flatten(1) if self._layout == "flat" else images

    @property
    def values(self) -> NDArray[np.float32]:
        """All parameters as the vector float32 [P] that a bank is made of."""
        parts = []
        for position, tensor in enumerate(self._parameters_there.tensors):
            value = self.nodes.get_parameter(f"parameter_{position}").detach().cpu().numpy()
            parts.append(np.moveaxis(value, self._axis(tensor.name), 0).ravel())
        return np.concatenate(parts).astype(np.float32)

    def layer_entries(self) -> dict[str, list[tuple[str, int]]]:
        """Return layer → its entries in the state, each with the axis that counts neurons.

        The weight comes first.
        """
        numbers = {tensor.name: n for n, tensor in enumerate(self._parameters_there.tensors)}
        return {
            layer.name: [
                (f"nodes.parameter_{numbers[name]}", self._axis(name))
                for name in dict.fromkeys([layer.weight, *(use.bias for use in layer.uses if use.bias)])
            ]
            for layer in self._parameters_there.layers
        }

    def _axis(self, name: str) -> int:
        return next((layer.weight_axis for layer in self._parameters_there.layers if layer.weight == name), 0)


@dataclass(frozen=True)
class Converted:
    """Maker of the network of a graph.

    Attributes:
        content: the serialised graph.
        layout: order of the axes of its input.
        name: name in records.
    """

    content: bytes = field(repr=False)
    layout: Layout
    name: str = "onnx"

    def build(self) -> nn.Module:
        """Make the network with the graph's own weights.

        A graph does not say how it was initialised.
        """
        return ConvertedNetwork(onnx.load_from_string(self.content), self.layout)


def converted(
    classifier: Classifier, layout: Layout, images: NDArray[np.float32]
) -> tuple[nn.Module, Converted]:
    """Return a network that answers as the classifier does, and its maker.

    Args:
        classifier: classifier to convert.
        layout: order of the axes of its input.
        images: some real images, normalised, float32 [N, C, H, W].

    Raises:
        ModelError: an operator cannot be converted, or the network answers otherwise or cannot be
            trained.
    """
    made = Converted(classifier.model.SerializeToString(deterministic=True), layout)
    network = ConvertedNetwork(classifier.model, layout).eval()
    expected = classifier.scores(network.laid_out(torch.from_numpy(images)).numpy())
    with boundary(ModelError, "the ONNX graph, converted to torch, fails on images", _REMEDY):
        scores = network(torch.from_numpy(images))
        (scores * torch.randn(scores.shape, generator=torch.Generator().manual_seed(0))).sum().backward()
    difference = float(np.abs(scores.detach().numpy() - expected).max() / max(1.0, np.abs(expected).max()))
    if not difference <= _TOLERANCE:
        raise ModelError(
            f"the ONNX graph, converted to torch, gives other scores: they differ by {difference:.1%}; {_REMEDY}"
        )
    if not all(p.grad is not None and p.grad.any() for p in network.parameters()):
        raise ModelError(f"the ONNX graph, converted to torch, cannot be trained in every layer; {_REMEDY}")
    network.zero_grad()
    return network, made
