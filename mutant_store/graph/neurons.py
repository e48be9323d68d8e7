"""Neurons of an ONNX classifier: output channels of convolutions, outputs of dense layers."""

import re
from dataclasses import dataclass, replace

import numpy as np
from onnx import NodeProto

from mutant_guard.errors import ModelError
from mutant_store.graph.classifier import refuse
from mutant_store.graph.graph import Graph, attribute

_WEIGHTED = {"Conv", "Gemm", "MatMul"}
# Operators that hold weights or control flow, which the mutation operators do not reach.
_UNSUPPORTED = {
    "ConvTranspose": "transposed convolutions are not supported",
    "DeformConv": "deformable convolutions are not supported",
    "LSTM": "recurrent layers are not supported",
    "GRU": "recurrent layers are not supported",
    "RNN": "recurrent layers are not supported",
    "Einsum": "export it as MatMul or Gemm",
    "If": "control flow is not supported; export one branch",
    "Loop": "control flow is not supported; export it unrolled",
    "Scan": "control flow is not supported; export it unrolled",
    "SequenceConstruct": "sequences are not supported; export with tensors",
    "SplitToSequence": "sequences are not supported; export with tensors",
}


@dataclass(frozen=True)
class Use:
    """Node that applies a layer's weights.

    Attributes:
        node: first output of the weighted node, which identifies it.
        tap: tensor that holds the layer's outputs after the bias.
        bias: constant that is added, if any.
        bias_node: first output of the node that reads the bias: the weighted node itself, or an Add
            behind it.
        rank: number of dimensions of the tap, filled in by ``mutant_store.graph.activations``.
        outputs: number of values per image in the tap, filled in by the same module.
    """

    node: str
    tap: str
    bias: str | None
    bias_node: str
    rank: int = 2
    outputs: int = 0


@dataclass(frozen=True)
class Layer:
    """Neurons that share one weight tensor; a weight used by two nodes is one layer with two uses.

    Attributes:
        name: name of the weighted node, or of its output where the node has none.
        op_type: Conv, Gemm or MatMul.
        weight: name of the weight constant.
        weight_axis: axis of the weight that counts neurons.
        channel_axis: axis of the tap that counts neurons: 1 for convolutions, -1 for dense layers.
        neurons: number of neurons.
        groups: number of sets of neurons that read different inputs, above 1 in grouped
            convolutions.
        uses: nodes that apply the weights.
    """

    name: str
    op_type: str
    weight: str
    weight_axis: int
    channel_axis: int
    neurons: int
    groups: int
    uses: tuple[Use, ...]


def find_layers(graph: Graph) -> list[Layer]:
    """Return the weighted layers of a graph, in graph order.

    Raises:
        ModelError: a node cannot be mutated, which the message names, or there is no weighted node
            at all.
    """
    layers: dict[str, Layer] = {}
    for node in graph.nodes:
        if node.op_type in _UNSUPPORTED:
            raise refuse(node, _UNSUPPORTED[node.op_type])
        if node.domain not in ("", "ai.onnx"):
            raise refuse(node, f"operators of domain '{node.domain}' are not supported; export standard ONNX")
        layer = _layer(graph, node) if node.op_type in _WEIGHTED else None
        if layer is None:
            continue
        known = layers.get(layer.weight)
        if known is None:
            layers[layer.weight] = layer
        elif (known.op_type, known.weight_axis, known.groups) == (
            layer.op_type,
            layer.weight_axis,
            layer.groups,
        ):
            layers[layer.weight] = replace(known, uses=known.uses + layer.uses)
        else:
            raise refuse(node, f"it shares weight '{layer.weight}' with a layer that reads it another way")
    if not layers:
        raise ModelError(
            "the model has no convolution or dense layer with constant weights; nothing to mutate"
        )
    return list(layers.values())


def select_layers(layers: list[Layer], pattern: str) -> list[Layer]:
    """Return the layers whose name a regular expression matches anywhere.

    Raises:
        ModelError: the expression does not parse, or matches no layer; the message then lists the
            names.
    """
    try:
        chosen = [layer for layer in layers if re.search(pattern, layer.name)]
    except re.error as error:
        raise ModelError(f"--layers '{pattern}' is no regular expression: {error}") from error
    if not chosen:
        names = ", ".join(layer.name for layer in layers)
        raise ModelError(f"--layers '{pattern}' matches none of the model's layers: {names}")
    return chosen


def neuron_count(layers: list[Layer]) -> int:
    """Return N, the number of neurons of these layers."""
    return sum(layer.neurons for layer in layers)


def _layer(graph: Graph, node: NodeProto) -> Layer | None:
    constant = [name in graph.constants for name in node.input]
    if node.op_type == "MatMul" and not any(constant):
        return None  # the product of two activations, as in attention, has no weights
    if not constant[1]:
        raise refuse(
            node, "its weight is not a constant" if not constant[0] else "its constant weight is on the left"
        )
    weight = node.input[1]
    shape = graph.array(weight).shape
    if graph.array(weight).dtype != np.float32:
        raise refuse(node, f"its weights are {graph.array(weight).dtype}; export the float32 model")
    if node.op_type == "MatMul":
        if len(shape) != 2:
            raise refuse(node, f"its weight has {len(shape)} dimensions; only matrices are supported")
        axis, channel_axis = 1, -1
        use = _matmul_use(graph, node, shape[1])
    else:
        axis, channel_axis = (
            (0, 1) if node.op_type == "Conv" else (0 if attribute(node, "transB", 0) else 1, -1)
        )
        if node.op_type == "Gemm" and attribute(node, "transA", 0):
            raise refuse(node, "it transposes its input, so its rows are not images")
        bias = node.input[2] if len(node.input) > 2 and node.input[2] else None
        if bias is not None and not (bias in graph.constants and _is_bias(graph, bias, shape[axis])):
            raise refuse(node, "what it adds is not a constant bias with one value a neuron")
        use = Use(node.output[0], node.output[0], bias, node.output[0])
    groups = int(attribute(node, "group", 1)) if node.op_type == "Conv" else 1
    name = node.name or node.output[0]
    return Layer(name, node.op_type, weight, axis, channel_axis, shape[axis], groups, (use,))


def _matmul_use(graph: Graph, node: NodeProto, neurons: int) -> Use:
    output = node.output[0]
    readers = graph.consumers()[output]
    if len(readers) == 1 and readers[0].op_type == "Add" and output not in graph.output_names:
        other = readers[0].input[1] if readers[0].input[0] == output else readers[0].input[0]
        if other in graph.constants and _is_bias(graph, other, neurons):
            return Use(output, readers[0].output[0], other, readers[0].output[0])
    return Use(output, output, None, output)


def _is_bias(graph: Graph, name: str, neurons: int) -> bool:
    shape = graph.array(name).shape
    return int(np.prod(shape)) == 1 or (shape[-1:] == (neurons,) and int(np.prod(shape)) == neurons)
