"""Which tensor of an exported classifier holds its class scores, and of which kind they are."""

from onnx import TensorProto, helper

from mutant_guard.store.choices import OutputKind
from mutant_store.graph.graph import Graph

_PASSING = {"Identity", "Cast", "Dropout", "Flatten", "Reshape", "Squeeze"}
"""Operators behind which probabilities are probabilities still."""


def unzip(graph: Graph) -> None:
    """Put the scores in place of a dictionary of them, which scikit-learn's exporter makes unless told otherwise.

    ``ZipMap`` turns each row of scores into a map from class to score. The output keeps its name.
    """
    for entry in graph.proto.output:
        node = graph.producers().get(entry.name)
        if node is None or node.op_type != "ZipMap" or node.input[0] in graph.output_names:
            continue
        graph.nodes.remove(node)
        name, scores = entry.name, node.input[0]
        entry.CopyFrom(helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, None]))
        graph.nodes.append(helper.make_node("Identity", [scores], [name], name=name))


def kind_of(graph: Graph, output: str) -> OutputKind:
    """Probabilities where they come from Softmax or Sigmoid, otherwise logits."""
    producers = graph.producers()
    node = producers.get(output)
    while node is not None and node.op_type in _PASSING:
        node = producers.get(node.input[0])
    return "probabilities" if node is not None and node.op_type in ("Softmax", "Sigmoid") else "logits"
