"""Class scores of an exported classifier: the tensor that holds them, and where they come from."""

import numpy as np
from onnx import ModelProto, TensorProto, helper

from mutant_guard.store.choices import OutputKind
from mutant_store.graph.graph import Graph

_PASSING = {"Identity", "Cast", "Dropout", "Flatten", "Reshape", "Squeeze"}
"""Operators behind which probabilities are still probabilities."""
_NORMALISING = {"Softmax", "Sigmoid", "HardSigmoid"}
_WEIGHTED = {"Conv", "Gemm", "MatMul"}


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


def normalised(graph: Graph, output: str) -> bool:
    """Check whether a Softmax or a sigmoid lies before an output, behind the last layer."""
    producers, waiting, seen = graph.producers(), [output], set()
    while waiting:
        name = waiting.pop()
        node = producers.get(name)
        if node is None or name in seen or node.op_type in _WEIGHTED:
            continue
        if node.op_type in _NORMALISING:
            return True
        seen.add(name)
        waiting += node.input
    return False


def two_classes(model: ModelProto, output: str, kind: OutputKind) -> ModelProto:
    """Return a model with one score an image as a model with a score for each of two classes.

    A probability p becomes 1 − p and p, a logit z becomes 0 and z.

    Args:
        model: the model, with output [batch] or [batch, 1].
        output: name of its only output, which keeps the name.
        kind: kind of the score.
    """
    graph = Graph(model)
    score = graph.fresh(f"{output}_of_one")
    graph.rename(output, score)
    step = {part: graph.fresh(f"{score}_{part}") for part in ("column", "other")}
    column = graph.add_constant(f"{score}_shape", np.array([-1, 1], np.int64))
    nodes = [helper.make_node("Reshape", [score, column], [step["column"]], name=step["column"])]
    whole = graph.add_constant(f"{score}_whole", np.ones((1, 1), np.float32))
    first = whole if kind == "probabilities" else step["column"]
    nodes += [
        helper.make_node("Sub", [first, step["column"]], [step["other"]], name=step["other"]),
        helper.make_node("Concat", [step["other"], step["column"]], [output], name=f"{score}_both", axis=1),
    ]
    graph.nodes += nodes
    del graph.proto.output[:]
    graph.proto.output.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", 2]))
    return graph.to_model()
