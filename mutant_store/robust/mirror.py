"""Second look of a mutant at the mirror image: the mean of its scores for an image and its mirror image."""

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, helper
from torch import Tensor, nn

from mutant_guard.bank.session import IMAGES
from mutant_guard.store.manifest import InputSpec
from mutant_store.graph.classifier import LOGITS
from mutant_store.graph.graph import Graph

_HALF = 0.5


class Mirrored(nn.Module):
    """Network that answers with the mean of another's scores for an image and its mirror image."""

    def __init__(self, network: nn.Module) -> None:
        """Wrap a network that reads [N, C, H, W]."""
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Return scores [N, classes] of images [N, C, H, W]."""
        scores: Tensor = (self.network(images) + self.network(images.flip(3))) * _HALF
        return scores


def mirrored(model: ModelProto, spec: InputSpec) -> ModelProto:
    """Return a graph that answers as ``Mirrored`` does around the network of a graph.

    Both looks share the weights.

    Args:
        model: model of a ``Classifier``.
        spec: its input, whose layout says which axis is mirrored.
    """
    graph = Graph(model)
    axis, order = _columns(spec)
    places = graph.add_constant("mirror_order", order)
    half = graph.add_constant("mirror_half", np.array(_HALF, np.float32))
    mirror, first, total = (graph.fresh(f"mirror_{name}") for name in ("images", "first", "sum"))
    graph.rename(LOGITS, first)
    second = graph.copy_behind(IMAGES, mirror)[first]
    graph.nodes.insert(0, helper.make_node("Gather", [IMAGES, places], [mirror], name=mirror, axis=axis))
    graph.nodes += [
        helper.make_node("Add", [first, second], [total], name=total),
        helper.make_node("Mul", [total, half], [LOGITS], name=LOGITS),
    ]
    graph.proto.output[0].name = LOGITS
    return graph.to_model()


def _columns(spec: InputSpec) -> tuple[int, NDArray[np.int64]]:
    """Return an axis of the input [N, …], and the order of its entries that mirrors images."""
    if spec.layout == "flat":
        shape = spec.height, spec.width, spec.channels
        return 1, np.arange(np.prod(shape)).reshape(shape)[:, ::-1].ravel()
    return 3 if spec.layout == "nchw" else 2, np.arange(spec.width)[::-1].copy()
