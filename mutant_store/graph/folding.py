"""Simplification of a classifier's graph before it is mutated.

It concerns constants, no-ops and batch normalisation.
"""

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto

from mutant_store.graph.constants import evaluate
from mutant_store.graph.graph import Graph, attribute

_NO_OPS = {"Identity", "Dropout"}


def simplify(graph: Graph) -> None:
    """Make weights and biases visible as constants and fold batch normalisation into them.

    In this order: nodes without graph inputs become constants, an If with a constant condition
    becomes its branch, Identity and inference-time Dropout go, and a batch normalisation whose only
    source is a convolution or dense layer is multiplied into it. One that cannot be folded (before
    a convolution, after a fan-out) stays as it is.

    Raises:
        ModelError: a constant would be absurdly large.
    """
    _fold_constants(graph)
    _drop_no_ops(graph)
    for node in [node for node in graph.nodes if node.op_type == "BatchNormalization"]:
        _fold_batch_norm(graph, node)


def _fold_constants(graph: Graph) -> None:
    waiting, kept = graph.nodes[::-1], []
    while waiting:
        node = waiting.pop()
        if not all(name in graph.constants for name in node.input if name):
            kept.append(node)
        elif node.op_type == "If" and node.domain in ("", "ai.onnx"):
            waiting += graph.inlined(node)[::-1]
        else:
            given = {name: graph.constants[name] for name in node.input if name}
            values = evaluate(node, given, graph.opset)
            for name, value in (values or {}).items():
                graph.set_constant(name, value)
            kept += [node] if values is None else []
    graph.nodes = kept


def _drop_no_ops(graph: Graph) -> None:
    outputs = set(graph.output_names)
    for node in list(graph.nodes):
        if node.op_type not in _NO_OPS or node.output[0] in outputs or any(node.output[1:]):
            continue
        graph.nodes.remove(node)
        for reader in graph.nodes:
            for index, name in enumerate(reader.input):
                if name == node.output[0]:
                    reader.input[index] = node.input[0]


def _fold_batch_norm(graph: Graph, norm: NodeProto) -> None:
    source = graph.producers().get(norm.input[0])
    readers = graph.consumers()
    constant = all(name in graph.constants for name in norm.input[1:])
    if source is None or not constant or attribute(norm, "training_mode", 0) or any(norm.output[1:]):
        return
    if len(readers[norm.input[0]]) > 1 or norm.input[0] in graph.output_names:
        return
    if source.op_type not in ("Conv", "Gemm") or source.input[1] not in graph.constants:
        return
    if source.op_type == "Gemm" and (attribute(source, "alpha", 1) != 1 or attribute(source, "beta", 1) != 1):
        return
    bias_name = source.input[2] if len(source.input) > 2 else ""
    if bias_name and bias_name not in graph.constants:
        return
    scale, shift, mean, variance = (graph.array(name).astype(np.float64) for name in norm.input[1:5])
    factor = scale / np.sqrt(variance + attribute(norm, "epsilon", 1e-5))
    bias = graph.array(bias_name).astype(np.float64) if bias_name else np.zeros_like(factor)
    weight = _scaled(graph.array(source.input[1]).astype(np.float64), factor, source)
    source.input[1] = graph.add_constant(f"{source.input[1]}_folded", weight.astype(np.float32))
    folded = graph.add_constant(f"{norm.output[0]}_bias", ((bias - mean) * factor + shift).astype(np.float32))
    del source.input[2:]
    source.input.append(folded)
    source.output[0] = norm.output[0]
    graph.nodes.remove(norm)


def _scaled(
    weight: NDArray[np.float64], factor: NDArray[np.float64], source: NodeProto
) -> NDArray[np.float64]:
    if source.op_type == "Conv" or attribute(source, "transB", 0):
        return weight * factor.reshape(-1, *[1] * (weight.ndim - 1))
    return weight * factor
