"""Bounds on the doubts of a robust mutant over all images of a box, as an ONNX graph.

Source: Gowal et al. 2018, 'On the effectiveness of interval bound propagation for training
verifiably robust models'. onnxruntime runs the graph where there is neither torch nor onnx.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper

from mutant_guard.errors import ModelError
from mutant_guard.runtime.proof import LEAST_DOUBTS, LOWER, TEMPERATURE, UPPER
from mutant_store.certifying.intervals import Intervals, sizes_of, slack
from mutant_store.certifying.rules import PLAIN_DENSE, bound
from mutant_store.graph.folding import simplify
from mutant_store.graph.graph import Graph, attribute, reads
from mutant_store.graph.row_bytes import note_row_bytes

_MOST_CLASSES = 64
"""Number of classes up to which each difference of two classes has weights of its own."""
_LOSS = 2e-6
"""Rounding of a softmax in float32, which doubts are lowered by, in absolute and relative terms."""
_SUMMED = 1e-4
"""Rounding of a sum over very many classes."""


@dataclass(frozen=True)
class _Last:
    """Last layer of a network, where its scores are sums with constant weights.

    Attributes:
        source: name of the tensor [N, inputs] that it reads.
        weight: float64 [classes, inputs].
        bias: float64 [classes].
    """

    source: str
    weight: NDArray[np.float64]
    bias: NDArray[np.float64]


def interval_graph(model: ModelProto) -> ModelProto:
    """Return the graph that bounds a network's doubts of every class over a box of inputs.

    Sums are bounded by middle and radius, and monotone functions at their ends. The last layer is
    taken together with the differences of two classes where it is a dense one of at most 64
    classes; otherwise the difference of two scores is bounded by that of their bounds.

    The graph computes in float32, and so does the network. Every sum therefore has a slack that
    covers the rounding of both, in whatever order onnxruntime adds: the bounds hold for what the
    network gives in float32 for float32 inputs in the box, not for the exact sums alone.

    Args:
        model: the network, with one float32 input [N, …] and one output [N, classes] of logits, or of
            their softmax.

    Returns:
        Graph with inputs ``lower`` and ``upper``, float32 [N, …] as the network reads images, and
        ``temperature``, float32 [1], above 0. Its output ``least_doubts``, float32 [N, classes], is
        a lower bound of 1 − p(class) at that temperature of the logits, over all inputs between
        lower and upper.

    Raises:
        ModelError: the network has several inputs or outputs, or an operator through which no
            bound can be computed; the message names it.
    """
    graph = Graph(model)
    if len(graph.input_names) != 1 or len(graph.output_names) != 1:
        raise ModelError("bounds need a network with one input and one output")
    simplify(graph)
    for name in graph.names.intersection((LOWER, UPPER, TEMPERATURE, LEAST_DOUBTS)):
        graph.rename(name, graph.fresh(f"{name}_inner"))
    source, scores = graph.input_names[0], _logits(graph, graph.output_names[0])
    intervals = Intervals(graph, source, (LOWER, UPPER), sizes_of(graph.to_model()))
    last = _last_layer(graph, scores)
    graph.restrict([scores if last is None else last.source])
    for node in graph.nodes:
        _rewrite(intervals, node)
    if scores not in intervals.found and (last is None or last.source not in intervals.found):
        raise ModelError("the scores do not depend on the image; this is no classifier")
    doubts = _from_scores(intervals, scores) if last is None else _from_pairs(intervals, last)
    lowered = intervals.add("Mul", doubts, intervals.constant(1 - _LOSS))
    lowered = intervals.add("Sub", lowered, intervals.constant(_LOSS))
    intervals.nodes.append(helper.make_node("Relu", [lowered], [LEAST_DOUBTS], name=LEAST_DOUBTS))
    return _finished(graph, intervals.nodes, source)


def _logits(graph: Graph, scores: str) -> str:
    """Return the tensor that holds the logits: the scores, or what a softmax makes them of."""
    node = graph.producers().get(scores)
    while node is not None and node.op_type in ("Identity", "Softmax"):
        scores = node.input[0]
        if node.op_type == "Softmax":
            return scores
        node = graph.producers().get(scores)
    return scores


def _rewrite(intervals: Intervals, node: NodeProto) -> None:
    """Add the nodes that stand for a node of the network."""
    if intervals.found.keys().isdisjoint(reads(node)):
        intervals.nodes.append(node)
    elif node.op_type == "Shape":
        again = NodeProto()
        again.CopyFrom(node)
        again.input[0] = (intervals.found[node.input[0]].ends or intervals.middle(node.input[0]))[0]
        intervals.nodes.append(again)
    else:
        bound(intervals, node)


def _last_layer(graph: Graph, scores: str) -> _Last | None:
    """Return the dense layer of few classes that makes the scores, None where there is none."""
    producers = graph.producers()
    node, added = producers.get(scores), np.zeros(())
    while node is not None and node.op_type in ("Identity", "Add"):
        if node.op_type == "Identity":
            node = producers.get(node.input[0])
            continue
        constant = [name for name in node.input if name in graph.constants]
        if len(constant) != 1 or graph.array(constant[0]).squeeze().ndim > 1:
            return None
        added = added + graph.array(constant[0]).astype(np.float64).squeeze()
        node = producers.get(next(name for name in node.input if name != constant[0]))
    if node is None or node.op_type not in ("Gemm", "MatMul") or node.input[1] not in graph.constants:
        return None
    weight = graph.array(node.input[1]).astype(np.float64)
    if weight.ndim != 2 or any(attribute(node, name, value) != value for name, value in PLAIN_DENSE.items()):
        return None
    weight = weight if attribute(node, "transB", 0) else weight.T
    if len(node.input) > 2 and node.input[2]:
        if node.input[2] not in graph.constants:
            return None
        added = added + graph.array(node.input[2]).astype(np.float64).squeeze()
    few = len(weight) <= _MOST_CLASSES
    return _Last(node.input[0], weight, np.broadcast_to(added, len(weight))) if few else None


def _from_pairs(intervals: Intervals, last: _Last) -> str:
    """Bound the doubts by the differences of any two scores, whose weights are differences too."""
    classes, width = last.weight.shape
    middle, radius = intervals.middle(last.source)
    largest = intervals.add("Add", intervals.add("Abs", middle), radius)

    def pairs(values: NDArray[np.float64], sign: int) -> NDArray[np.float64]:
        """Return values of class j plus or minus those of class t, [..., t · classes + j]."""
        every = values[None] + sign * values[:, None]
        return every.reshape(classes * classes, -1).T

    factor = slack(2 * width)
    apart = pairs(last.weight, -1)
    lost = -factor * pairs(np.abs(last.weight), 1)
    matrix = intervals.constant(np.concatenate([apart, -np.abs(apart), lost]))
    offset = intervals.constant(pairs(last.bias, -1) - factor * pairs(np.abs(last.bias), 1))
    read = intervals.add("Concat", middle, radius, largest, axis=1)
    lower = intervals.add("Add", intervals.add("MatMul", read, matrix), offset)
    square = intervals.graph.add_constant("bound_shape", np.array([-1, classes, classes], np.int64))
    scaled = intervals.add("Div", intervals.add("Reshape", lower, square), TEMPERATURE)
    others = 1 - np.eye(classes)
    shares = intervals.add("Softmax", intervals.add("Mul", scaled, intervals.constant(others)), axis=2)
    summed = intervals.add("Mul", shares, intervals.constant(others))
    column = intervals.add("MatMul", summed, intervals.constant(np.ones((classes, 1))))
    flat = intervals.graph.add_constant("bound_shape", np.array([-1, classes], np.int64))
    return intervals.add("Reshape", column, flat)


def _from_scores(intervals: Intervals, scores: str) -> str:
    """Bound the doubts by the bounds of the scores.

    With the shares a of a softmax of lower bounds l at the temperature T, class t has a doubt of at
    least the logistic function of log(1 − a_t) − log a_t − (u_t − l_t)/T, where u are the upper
    bounds.
    """
    lower, upper = intervals.ends(scores)
    scaled = intervals.add("Div", lower, TEMPERATURE)
    logs = intervals.add("LogSoftmax", scaled, axis=1)
    width = intervals.add("Div", intervals.add("Sub", upper, lower), TEMPERATURE)
    rest = intervals.add("Sub", intervals.constant(1 - _SUMMED), intervals.add("Exp", logs))
    odds = intervals.add("Sub", intervals.add("Log", intervals.add("Relu", rest)), logs)
    largest = intervals.add("Add", intervals.add("Abs", logs), intervals.add("Abs", scaled))
    more = intervals.add("Mul", intervals.add("Add", largest, width), intervals.constant(_LOSS))
    lowered = intervals.add("Sub", intervals.add("Sub", odds, width), more)
    return intervals.add("Sigmoid", lowered)


def _finished(graph: Graph, nodes: list[NodeProto], source: str) -> ModelProto:
    """Return the model of the new nodes, with the inputs and the output of a graph of bounds."""
    entry = next(entry for entry in graph.proto.input if entry.name == source)
    inputs = [ValueInfoProto(name=name) for name in (LOWER, UPPER)]
    for end in inputs:
        end.type.CopyFrom(entry.type)
        end.type.tensor_type.shape.dim[0].dim_param = "batch"
    inputs.append(helper.make_tensor_value_info(TEMPERATURE, TensorProto.FLOAT, [1]))
    graph.nodes = nodes
    output = helper.make_tensor_value_info(LEAST_DOUBTS, TensorProto.FLOAT, ["batch", None])
    model = graph.subgraph(inputs, [output])
    del model.metadata_props[:]
    return note_row_bytes(model)
