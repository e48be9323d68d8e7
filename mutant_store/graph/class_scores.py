"""Class scores of an exported classifier: the tensor that holds them, and their kind."""

from onnx import TensorProto, helper

from mutant_guard.store.choices import OutputKind
from mutant_store.graph.graph import Graph

_PASSING = {"Identity", "Cast", "Dropout", "Flatten", "Reshape", "Squeeze"}
"""Operators behind which probabilities are still probabilities."""


def unzip(graph: Graph) -> None:
    """Replace a dictionary of scores by the scores themselves.

    scikit-learn's exporter makes such a dictionary unless told otherwise: ``ZipMap`` turns each row
    of scores into a map from class to score. The output keeps its name.
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
    """Return the kind of an output: probabilities behind Softmax or Sigmoid, otherwise logits."""
    producers = graph.producers()
    node = producers.get(output)
    while node is not None and node.op_type in _PASSING:
        node = producers.get(node.input[0])
    return "probabilities" if node is not None and node.op_type in ("Softmax", "Sigmoid") else "logits"
