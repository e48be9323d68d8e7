"""From a trained network to the vector of parameters that a bank is made of."""

import numpy as np
import onnx
from numpy.typing import NDArray
from torch import Tensor, nn

from mutant_store.classifier import LOGITS, load_classifier
from mutant_store.errors import ModelError
from mutant_store.graph import Graph
from mutant_store.model_card import ModelCard
from mutant_store.networks.onnx_export import to_onnx
from mutant_store.neurons import find_layers
from mutant_store.parameters import Parameters
from mutant_store.retraining.job import ORIGINAL_MODEL, Job
from mutant_store.session import IMAGES, open_session, run_session

_TOLERANCE = 1e-3
"""Largest difference of scores, as a share of the largest score."""


def parameters_of(job: Job, network: nn.Module, probe: Tensor) -> NDArray[np.float32]:
    """The parameters of a trained network, float32 [P], in the order of the original's graph.

    It is exported as the original was and its batch normalisations are folded the same way, so that its layers stand
    where the original's do.

    Args:
        job: the original.
        network: float32 on the CPU, of the original's architecture.
        probe: a few normalised inputs, float32 [n, C, H, W], n at least 2, on which the original's graph with these
            parameters has to answer what the network does.

    Raises:
        ModelError: it does not: what training changed is not all in weights and biases of convolutions and dense
            layers.
    """
    inputs = probe.numpy()
    reference = onnx.load(job.folder / ORIGINAL_MODEL)
    exported = load_classifier(onnx.load_from_string(to_onnx(network, ModelCard(), inputs)))
    wanted, found = (_parameters(model) for model in (reference, exported.model))
    shapes = [[tensor.shape for tensor in parameters.tensors] for parameters in (wanted, found)]
    graph = Graph(reference)
    if shapes[0] == shapes[1]:
        wanted.write(graph, found.values)
        session = open_session(graph.to_model().SerializeToString(), threads=1)
        mine = run_session(session, IMAGES, inputs)[0]
        expected = network.eval()(probe).detach().numpy()
        if np.abs(mine - expected).max() <= _TOLERANCE * max(1.0, float(np.abs(expected).max())):
            return found.values
    raise ModelError(
        "a trained mutant is not the original with other weights and biases: something else in this network learns "
        "as well, such as a batch normalisation that cannot be folded into a layer before it; take another operator, "
        "or a network in which normalisations follow convolutions"
    )


def _parameters(model: onnx.ModelProto) -> Parameters:
    graph = Graph(model)
    graph.restrict([LOGITS])
    return Parameters(graph, find_layers(graph))
