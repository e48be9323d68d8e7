"""Graphs whose parameters are not fixed: inputs of a run, or a constant given at loading."""

import numpy as np
from onnx import NodeProto, TensorProto, ValueInfoProto, helper

from mutant_guard.bank.own_tail import PARAMETER
from mutant_guard.bank.session_tail import VALUES
from mutant_store.graph.graph import Graph
from mutant_store.graph.parameters import Parameters, Tensor, rewire

_SLICES_BY_INPUT = 10
"""First operator set in which the bounds of Slice are inputs."""


def free_parameters(graph: Graph, parameters: Parameters, entry: int) -> list[ValueInfoProto]:
    """Turn the weights and biases of all layers from ``entry`` on into inputs, and return these."""
    inputs = []
    axes = {layer.weight: layer.weight_axis for layer in parameters.layers}
    for tensor in _behind(parameters, entry):
        name = graph.fresh(f"{PARAMETER}{tensor.start}")
        inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, list(tensor.shape)))
        if axes.get(tensor.name, 0) == 0:
            rewire(graph, parameters.layers, tensor.name, name)
            continue
        turned = graph.fresh(f"{name}_turned")
        rewire(graph, parameters.layers, tensor.name, turned)
        graph.nodes.insert(0, helper.make_node("Transpose", [name], [turned], name=turned, perm=[1, 0]))
    return inputs


def bind_parameters(graph: Graph, parameters: Parameters, entry: int, inputs: list[ValueInfoProto]) -> None:
    """Compute the inputs that ``free_parameters`` made from one constant instead.

    The data of this constant are given when the model is loaded. onnxruntime then folds the cuts
    away and lays the weights out for its kernels, as it does with a plain classifier.

    Args:
        graph: graph that ``free_parameters`` changed; changed in place.
        parameters: parameters of the original.
        entry: position of the first layer whose parameters are free.
        inputs: inputs that ``free_parameters`` returned.
    """
    vector = graph.fresh(VALUES)
    nodes = []
    for tensor, target in zip(_behind(parameters, entry), inputs, strict=True):
        flat = graph.fresh(f"{target.name}_flat")
        shape = graph.add_constant(f"{target.name}_shape", np.array(tensor.shape, dtype=np.int64))
        nodes.append(_cut(graph, vector, tensor, flat))
        nodes.append(helper.make_node("Reshape", [flat, shape], [target.name], name=target.name))
    graph.nodes[:0] = nodes
    graph.constants[vector] = _elsewhere(vector, len(parameters.values))
    graph.rename(vector, VALUES)


def _behind(parameters: Parameters, entry: int) -> list[Tensor]:
    return [tensor for tensor in parameters.tensors if tensor.layer >= entry]


def _cut(graph: Graph, vector: str, tensor: Tensor, target: str) -> NodeProto:
    starts, ends = [tensor.start], [tensor.stop]
    if graph.opset < _SLICES_BY_INPUT:
        return helper.make_node("Slice", [vector], [target], name=target, starts=starts, ends=ends)
    limits = [
        graph.add_constant(f"{target}_{name}", np.array(value, dtype=np.int64))
        for name, value in (("starts", starts), ("ends", ends))
    ]
    return helper.make_node("Slice", [vector, *limits], [target], name=target)


def _elsewhere(name: str, length: int) -> TensorProto:
    """Return a constant float32 [length] whose data lie in a file that is never read."""
    tensor = TensorProto(
        name=name, data_type=TensorProto.FLOAT, dims=[length], data_location=TensorProto.EXTERNAL
    )
    for key, value in {"location": name, "offset": 0, "length": 4 * length}.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor
