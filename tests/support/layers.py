"""Layers of given sizes and weights, without a classifier around them."""

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from mutant_store.graph.graph import Graph
from mutant_store.graph.neurons import Layer, Use
from mutant_store.graph.parameters import Parameters


def dense(sizes: list[int], *, inputs: int = 3, groups: int = 1, seed: int = 0) -> Parameters:
    """Make layers of these sizes, with ``inputs`` random weights and a bias for each neuron."""
    rng = np.random.default_rng(seed)
    return of_weights(
        [(rng.standard_normal((size, inputs)), rng.standard_normal(size)) for size in sizes],
        groups=groups,
    )


def of_weights(
    weights: list[tuple[NDArray[np.float64], NDArray[np.float64]]], *, groups: int = 1
) -> Parameters:
    """Make layers of given weights [neurons, inputs] and biases [neurons]."""
    constants, layers = [], []
    for number, (weight, bias) in enumerate(weights):
        names = f"weight{number}", f"bias{number}"
        for name, value in zip(names, (weight, bias), strict=True):
            constants.append(numpy_helper.from_array(value.astype(np.float32), name))
        use = Use(f"y{number}", f"y{number}", names[1], f"y{number}")
        layers.append(Layer(f"dense{number}", "Gemm", names[0], 0, -1, len(weight), groups, (use,)))
    source = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3])
    graph = helper.make_graph([], "layers", [source], [], constants)
    return Parameters(Graph(helper.make_model(graph)), layers)
