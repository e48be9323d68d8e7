"""Mutants of a convolutional network in one graph: grouped convolutions and batched products."""

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper, numpy_helper

from mutant_guard.bank.session import IMAGES
from mutant_store.graph.classifier import LOGITS
from mutant_store.graph.graph import Graph

_PER_CHANNEL = frozenset({"Relu", "MaxPool", "Add", "ReduceMean", "Identity"})
"""Operators that do the same to every mutant's channels whether they are stacked or not."""


def stack(models: list[ModelProto]) -> ModelProto:
    """Stack mutants that have the same nodes in one graph.

    Args:
        models: mutants, images [R, C, H, W] → scores [R, classes], made of convolutions, operators
            that work per channel, one flattening and dense layers behind it.

    Returns:
        Model of all M mutants, images [R, C, H, W] → scores [M, R, classes].

    Raises:
        ValueError: a node cannot be stacked.
    """
    made = _Stack([Graph(model) for model in models])
    for position in range(len(made.first.nodes)):
        made.add(position)
    inputs = [entry for entry in made.first.proto.input if entry.name == IMAGES]
    outputs = [helper.make_empty_tensor_value_info(LOGITS)]
    read = {name for node in made.nodes for name in node.input}
    constants = [value for name, value in made.constants.items() if name in read]
    graph = helper.make_graph(made.nodes, "stack", inputs, outputs, constants)
    source = models[0]
    return helper.make_model(graph, opset_imports=source.opset_import, ir_version=source.ir_version)


class _Stack:
    """Nodes of the stack, and its constants by name."""

    def __init__(self, graphs: list[Graph]) -> None:
        self._graphs = graphs
        self.first = graphs[0]
        self.nodes: list[NodeProto] = []
        self.constants = dict(self.first.constants)

    def add(self, position: int) -> None:
        """Stack the node at a position of every mutant's graph."""
        node = self.first.nodes[position]
        (output,) = node.output
        if node.op_type == "Conv":
            groups = 1 if node.input[0] == IMAGES else len(self._graphs)
            weight, bias = (np.concatenate(self._values(position, entry)) for entry in (1, 2))
            self._keep(node, [weight, bias], output)
            next(entry for entry in self.nodes[-1].attribute if entry.name == "group").i = groups
        elif node.op_type == "Gemm":
            weight = np.stack([value.T for value in self._values(position, 1)])
            bias = np.stack([value[None] for value in self._values(position, 2)])
            names = [
                self._constant(f"{output}_{kind}", value) for kind, value in (("w", weight), ("b", bias))
            ]
            self.nodes.append(helper.make_node("MatMul", [node.input[0], names[0]], [f"{output}_product"]))
            self.nodes.append(helper.make_node("Add", [f"{output}_product", names[1]], [output]))
        elif node.op_type == "Reshape":  # [R, M · C, H, W] → [M, R, C · H · W]
            shape = self._constant(f"{output}_shape", np.array([0, len(self._graphs), -1], dtype=np.int64))
            self.nodes.append(helper.make_node("Reshape", [node.input[0], shape], [f"{output}_images"]))
            self.nodes.append(helper.make_node("Transpose", [f"{output}_images"], [output], perm=[1, 0, 2]))
        elif node.op_type in _PER_CHANNEL:
            self.nodes.append(node)
        else:
            raise ValueError(f"{node.op_type} cannot be stacked")

    def _values(self, position: int, entry: int) -> list[NDArray[np.float32]]:
        return [graph.array(graph.nodes[position].input[entry]) for graph in self._graphs]

    def _keep(self, node: NodeProto, values: list[NDArray[np.float32]], output: str) -> None:
        kept = NodeProto()
        kept.CopyFrom(node)
        for number, value in enumerate(values, 1):
            kept.input[number] = self._constant(f"{output}_stacked_{number}", value)
        self.nodes.append(kept)

    def _constant(self, name: str, value: NDArray[np.float32] | NDArray[np.int64]) -> str:
        self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name
