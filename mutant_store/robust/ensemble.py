"""Several networks as one mutant: the mean of their scores."""

from collections.abc import Sequence

import numpy as np
from onnx import ModelProto, compose, helper
from torch import Tensor, nn

from mutant_guard.bank.session import IMAGES
from mutant_store.graph.classifier import LOGITS
from mutant_store.graph.graph import Graph

_PREFIX = "network_{}_"


class Ensemble(nn.Module):
    """Network that answers with the mean of the scores of others."""

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        """Join networks that read [N, C, H, W] and answer with scores [N, classes] of one kind."""
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, images: Tensor) -> Tensor:
        """Return scores [N, classes] of images [N, C, H, W]."""
        scores: Tensor = sum(network(images) for network in self.networks) * (1 / len(self.networks))
        return scores


def mean_of(models: Sequence[ModelProto]) -> ModelProto:
    """Return a graph that answers as ``Ensemble`` does around the networks of some graphs.

    Args:
        models: models of ``Classifier``s with the same input, at least one.
    """
    if len(models) == 1:
        return models[0]
    first, *others = (_apart(model, number) for number, model in enumerate(models))
    graph, total = first, _PREFIX.format(0) + LOGITS
    for number, other in enumerate(others, 1):
        graph.nodes += other.nodes
        graph.constants |= other.constants
        both, scores = f"ensemble_sum_{number}", _PREFIX.format(number) + LOGITS
        graph.nodes.append(helper.make_node("Add", [total, scores], [both], name=both))
        total = both
    share = graph.add_constant("ensemble_share", np.array(1 / len(models), np.float32))
    graph.nodes.append(helper.make_node("Mul", [total, share], [LOGITS], name="ensemble_mean"))
    graph.proto.output[0].name = LOGITS
    return graph.to_model()


def _apart(model: ModelProto, number: int) -> Graph:
    """Return a graph whose names, but for that of its input, begin with the number of the network."""
    prefix = _PREFIX.format(number)
    graph = Graph(compose.add_prefix(model, prefix))
    graph.rename(prefix + IMAGES, IMAGES)
    return graph
