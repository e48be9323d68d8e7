"""Export of a trained robust mutant as a graph that reads what the original's graph reads."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mutant_guard.errors import ModelError
from mutant_guard.store.choices import OutputKind
from mutant_guard.store.manifest import InputSpec
from mutant_guard.store.model_card import ModelCard
from mutant_store.graph.classifier import Classifier, load_classifier
from mutant_store.graph.graph import Graph
from mutant_store.graph.neurons import find_layers
from mutant_store.graph.parameters import Parameters
from mutant_store.networks.conversion import ConvertedNetwork
from mutant_store.networks.onnx_export import to_onnx
from mutant_store.robust.ensemble import Ensemble, mean_of
from mutant_store.robust.mirror import Mirrored, mirrored

_TOLERANCE = 1e-3
"""Largest difference of scores, as a share of the largest score."""


class Reading(nn.Module):
    """Network that reads images in the layout of another one's input."""

    def __init__(self, network: nn.Module, spec: InputSpec) -> None:
        """Put the change of the layout before a network that reads [N, C, H, W].

        Args:
            network: the network.
            spec: input whose layout is read.
        """
        super().__init__()
        self.network = network
        self._layout, self._shape = spec.layout, (spec.height, spec.width, spec.channels)

    def forward(self, images: Tensor) -> Tensor:
        """Return scores [N, classes] of normalised images float32 in the layout of the input."""
        if self._layout == "flat":
            images = torch.unflatten(images, 1, self._shape)
        if self._layout != "nchw":
            images = images.permute(0, 3, 1, 2)
        scores: Tensor = self.network(images)
        return scores


def classifier_of(
    networks: Sequence[nn.Module],
    original: Classifier,
    spec: InputSpec,
    probe: NDArray[np.float32],
    output_kind: OutputKind,
    *,
    mirror: bool = False,
) -> Classifier:
    """Return trained networks as one graph of the mean of their scores, compared with them.

    Args:
        networks: float32 networks of one kind on the CPU, in evaluation mode, that read [N, C, H, W].
        original: the original's graph.
        spec: input of the original.
        probe: a few real inputs of the original, float32 [N, …], N at least 2.
        output_kind: kind of what the networks answer.
        mirror: whether the graph answers as ``Mirrored`` does around them.

    Returns:
        A classifier that takes the original's inputs, its batch normalisations folded.

    Raises:
        ModelError: a network cannot be exported, or the graph answers otherwise.
    """
    found = [_alone(network, original, spec, probe, output_kind) for network in networks]
    classifier = replace(found[0], model=mean_of([each.model for each in found]))
    whole: nn.Module = Ensemble(networks)
    if mirror:
        classifier = replace(classifier, model=mirrored(classifier.model, spec))
        whole = Mirrored(whole)
    reading = Reading(whole, spec).eval()
    with torch.inference_mode():
        expected = reading(torch.from_numpy(probe)).numpy()
    largest = np.abs(classifier.scores(probe) - expected).max()
    if not largest <= _TOLERANCE * max(1.0, float(np.abs(expected).max())):
        raise ModelError(
            f"a robust mutant's graph differs from its network by {largest:.2g}: give an --architecture that "
            "torch exports faithfully"
        )
    return classifier


def _alone(
    network: nn.Module,
    original: Classifier,
    spec: InputSpec,
    probe: NDArray[np.float32],
    output_kind: OutputKind,
) -> Classifier:
    """Return one of the networks as a graph."""
    if isinstance(network, ConvertedNetwork):
        graph = Graph(original.model)
        Parameters(graph, find_layers(graph)).write(graph, network.values)
        return replace(original, model=graph.to_model())
    content = to_onnx(Reading(network, spec).eval(), ModelCard(), probe)
    return load_classifier(onnx.load_from_string(content), output_kind=output_kind)
