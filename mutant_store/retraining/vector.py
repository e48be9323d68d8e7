"""Conversion of a trained network to the vector of parameters that a bank is made of."""

import numpy as np
import onnx
from numpy.typing import NDArray
from torch import Tensor, nn

from mutant_guard.bank.session import IMAGES, open_session, run_session
from mutant_guard.errors import ModelError
from mutant_guard.store.model_card import ModelCard
from mutant_store.graph.classifier import load_classifier
from mutant_store.graph.graph import Graph
from mutant_store.graph.neurons import find_layers
from mutant_store.graph.parameters import Parameters
from mutant_store.networks.conversion import ConvertedNetwork
from mutant_store.networks.onnx_export import to_onnx
from mutant_store.retraining.job import Job

_TOLERANCE = 1e-3
"""Largest difference of scores, as a share of the largest score."""


def parameters_of(job: Job, network: nn.Module, probe: Tensor) -> NDArray[np.float32]:
    """Return the parameters of a trained network, in the order of the graph of the original or tail.

    The network is exported as the original was, and its batch normalisations are folded the same
    way, so that its layers stand where the original's do.

    Args:
        job: job that holds the original.
        network: network of the trained architecture, float32 on the CPU.
        probe: a few inputs of it, float32 [n, …], n at least 2, on which the graph with these
            parameters must answer what the network does.

    Returns:
        float32 [P].

    Raises:
        ModelError: the graph answers otherwise: what training changed is not all in weights and
            biases of convolutions and dense layers.
    """
    graph = Graph(onnx.load(job.trained_model))
    original = Parameters(graph, find_layers(graph))
    values = network.values if isinstance(network, ConvertedNetwork) else _exported(network, original, probe)
    if values is not None:
        original.write(graph, values)
        session = open_session(graph.to_model().SerializeToString(), threads=1)
        expected = network.eval()(probe).detach().numpy()
        there = (
            probe.numpy() if not isinstance(network, ConvertedNetwork) else network.laid_out(probe).numpy()
        )
        difference = np.abs(run_session(session, IMAGES, there)[0] - expected).max()
        if difference <= _TOLERANCE * max(1.0, float(np.abs(expected).max())):
            return values
    raise ModelError(
        "a trained mutant is not the original with other weights and biases of convolutions and dense layers: this "
        "network learns something else as well, such as a batch normalisation that cannot be folded into the layer "
        "before it; export the network to ONNX and give that file, in which such things are constant"
    )


def _exported(network: nn.Module, original: Parameters, probe: Tensor) -> NDArray[np.float32] | None:
    """Return the parameters of the exported network, or None.

    They must be those of the original in number and shape.
    """
    content = to_onnx(network, ModelCard(), probe.numpy())
    graph = Graph(load_classifier(onnx.load_from_string(content)).model)
    found = Parameters(graph, find_layers(graph))
    shapes = [[tensor.shape for tensor in parameters.tensors] for parameters in (found, original)]
    return found.values if shapes[0] == shapes[1] else None
