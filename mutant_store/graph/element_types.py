"""Element types of a classifier's file, brought to the float32 that graphs of a store have."""

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from mutant_store.graph.graph import Graph

_HALVES = {TensorProto.FLOAT16: "float16", TensorProto.BFLOAT16: "bfloat16"}
_TYPE_ATTRIBUTES = {"to", "dtype"}
_MOVING = {"Concat", "Flatten", "Gather", "Identity", "Reshape", "Slice", "Split", "Squeeze"} | {
    "Transpose",
    "Unsqueeze",
}
"""Operators that move pixels and compute nothing, whatever the type."""


def half_types(model: ModelProto) -> list[str]:
    """Return the names of the half-precision types that a file uses: ``float16``, ``bfloat16``."""
    found = {tensor.data_type for tensor in _tensors(model)}
    found |= {entry.i for node in _nodes(model) for entry in node.attribute if entry.name in _TYPE_ATTRIBUTES}
    found |= {entry.type.tensor_type.elem_type for entry in (*model.graph.input, *model.graph.output)}
    return sorted(name for kind, name in _HALVES.items() if kind in found)


def widened(model: ModelProto) -> ModelProto:
    """Return a model that computes in float32 what the given one computes in half precision.

    Every half-precision number is a float32 number as well, so no weight changes. What the sums of
    a run lose to rounding is no longer lost.

    Args:
        model: the model, with the weights that are stored beside it read.
    """
    wide = ModelProto()
    wide.CopyFrom(model)
    for tensor in _tensors(wide):
        if tensor.data_type in _HALVES:
            numbers = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(numbers, tensor.name))
    for node in _nodes(wide):
        for entry in node.attribute:
            if entry.name in _TYPE_ATTRIBUTES and entry.i in _HALVES:
                entry.i = TensorProto.FLOAT
    for graph in _graphs(wide):
        del graph.value_info[:]
        for value in (*graph.input, *graph.output):
            if value.type.tensor_type.elem_type in _HALVES:
                value.type.tensor_type.elem_type = TensorProto.FLOAT
    _drop_casts(wide)
    return wide


def take_floats(graph: Graph, name: str) -> str:
    """Make a graph with an input of uint8 pixels take them as float32 of the same values.

    Where pixels are only moved and then cast to floating point, the cast goes. What else reads them
    gets them back as uint8, rounded.

    Args:
        graph: the graph; changed in place.
        name: name of the input.

    Returns:
        New name of the input.
    """
    source = graph.fresh(f"{name}_float")
    entry = next(entry for entry in graph.proto.input if entry.name == name)
    entry.name, entry.type.tensor_type.elem_type = source, TensorProto.FLOAT
    half = graph.add_constant(f"{source}_half", np.array(0.5, np.float32))
    up = graph.fresh(f"{source}_up")
    nodes = [
        helper.make_node("Add", [source, half], [up], name=up),
        helper.make_node("Cast", [up], [name], name=graph.fresh(f"{name}_pixels"), to=TensorProto.UINT8),
    ]
    floats = {name: source}
    for node in graph.nodes:
        moved = node.input if node.op_type == "Concat" else node.input[:1]
        if not moved or not all(part in floats for part in moved):
            nodes.append(node)
        elif node.op_type in _MOVING:
            twin = NodeProto()
            twin.CopyFrom(node)
            floats |= {part: graph.fresh(f"{part}_float") for part in node.output if part}
            for names in (twin.input, twin.output):
                names[:] = [floats.get(part, part) for part in names]
            twin.name = graph.fresh(f"{node.name or node.output[0]}_float")
            nodes += [node, twin]
        elif node.op_type == "Cast" and _target(node) == TensorProto.FLOAT:
            nodes.append(helper.make_node("Identity", [floats[node.input[0]]], node.output, name=node.name))
        else:
            nodes.append(node)
    graph.nodes = nodes
    return source


def _drop_casts(model: ModelProto) -> None:
    """Turn casts from float32 to float32 into Identity, which hides no layer from its bias."""
    typed = onnx.shape_inference.infer_shapes(model).graph
    kinds = {
        value.name: value.type.tensor_type.elem_type
        for value in (*typed.input, *typed.value_info, *typed.output)
    } | {tensor.name: tensor.data_type for tensor in typed.initializer}
    for node in model.graph.node:
        if node.op_type == "Cast" and _target(node) == kinds.get(node.input[0]) == TensorProto.FLOAT:
            node.op_type = "Identity"
            del node.attribute[:]


def _target(node: NodeProto) -> int:
    return next((entry.i for entry in node.attribute if entry.name == "to"), 0)


def _graphs(model: ModelProto) -> Iterator[GraphProto]:
    yield model.graph
    for node in _nodes(model):
        for entry in node.attribute:
            yield from entry.graphs
            if entry.type == entry.GRAPH:
                yield entry.g


def _nodes(model: ModelProto) -> Iterator[NodeProto]:
    waiting = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    while waiting:
        node = waiting.pop()
        yield node
        for entry in node.attribute:
            for graph in (entry.g, *entry.graphs) if entry.type in (entry.GRAPH, entry.GRAPHS) else ():
                waiting += graph.node


def _tensors(model: ModelProto) -> Iterator[TensorProto]:
    for graph in _graphs(model):
        yield from graph.initializer
    for node in _nodes(model):
        for entry in node.attribute:
            yield from entry.tensors
            if entry.type == entry.TENSOR:
                yield entry.t
