"""Graph of a companion whose scores are in the original's order of classes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper

from mutant_guard.store.choices import OutputKind
from mutant_store.graph.classifier import LOGITS
from mutant_store.graph.graph import Graph

_LEAST_PROBABILITY = 1e-12
COMPANION_SCORES = "companion_scores"
"""Name of a companion's own scores within its graph, or the start of that name."""
_AXES_ARE_INPUTS = 18
"""Operator set from which on reductions take their axes as an input."""


def in_original_order(
    model: ModelProto, kind: OutputKind, to_companion: NDArray[np.int64] | None, original_kind: OutputKind
) -> ModelProto:
    """Return a companion's graph with a score for each class of the original, of the original's kind.

    Where every class of the original has a class of its own, scores change places. Where several
    share one, its probability is divided among them as the original divides its own, so that the
    companion doubts no choice that it cannot make. Such a graph reads the original's scores, input
    ``logits``, as well. Classes that the companion does not have get together, before the scores
    are normalised, what its surest class leaves: it is unsure where it sees none of its own.

    Args:
        model: the companion, with output ``logits`` float32 [N, its classes].
        kind: kind of its scores.
        to_companion: int64 [classes], its class for each class of the original, −1 for none; None
            where both have the same classes in the same order.
        original_kind: kind of the original's scores.
    """
    graph = Graph(model)
    wiring = _Wiring(graph)
    scores = graph.fresh(COMPANION_SCORES)
    graph.rename(LOGITS, scores)
    if kind == "probabilities":
        floor = graph.add_constant("companion_floor", np.array(_LEAST_PROBABILITY, np.float32))
        scores = wiring.node("Log", wiring.node("Max", scores, floor))
    classes = None
    if to_companion is not None:
        classes = len(to_companion)
        one_each = (to_companion >= 0).all() and len(np.unique(to_companion)) == classes
        if one_each:
            scores = wiring.node(
                "Gather", scores, graph.add_constant("companion_classes", to_companion), axis=1
            )
        else:
            scores = _grouped(wiring, scores, to_companion, original_kind)
    if original_kind == "probabilities":
        scores = wiring.node("Softmax", scores, axis=1)
    result = graph.fresh("companion_result")
    graph.nodes.append(helper.make_node("Identity", [scores], [result], name=result))
    if graph.consumers().get(LOGITS):
        graph.proto.input.append(helper.make_tensor_value_info(LOGITS, TensorProto.FLOAT, ["batch", classes]))
    del graph.proto.output[:]
    graph.proto.output.append(helper.make_tensor_value_info(result, TensorProto.FLOAT, ["batch", classes]))
    return graph.to_model()


def _grouped(
    wiring: "_Wiring", scores: str, to_companion: NDArray[np.int64], original_kind: OutputKind
) -> str:
    """Return the log-probabilities of the original's classes, of which some share one or have none."""
    graph, known = wiring.graph, np.unique(to_companion[to_companion >= 0])
    groups = np.where(to_companion < 0, len(known), np.searchsorted(known, to_companion))
    floor = graph.add_constant("companion_least", np.array(_LEAST_PROBABILITY, np.float32))
    own = wiring.node("LogSoftmax", scores, axis=1)
    of_groups = wiring.node("Gather", own, graph.add_constant("companion_known", known), axis=1)
    if (to_companion < 0).any():
        one = graph.add_constant("companion_one", np.array(1, np.float32))
        unsure = wiring.node("Sub", one, wiring.largest(wiring.node("Exp", own)))
        of_none = wiring.node("Log", wiring.node("Max", unsure, floor))
        of_groups = wiring.node("Concat", of_groups, of_none, axis=1)
    if original_kind == "probabilities":
        original = wiring.node("Log", wiring.node("Max", LOGITS, floor))
    else:
        original = wiring.node("LogSoftmax", LOGITS, axis=1)
    members = np.eye(groups.max() + 1, dtype=np.float32)[groups]
    sums = wiring.node(
        "MatMul", wiring.node("Exp", original), graph.add_constant("companion_members", members)
    )
    together = wiring.node("Log", wiring.node("Max", sums, floor))
    places = graph.add_constant("companion_groups", groups.astype(np.int64))
    share = wiring.node("Sub", original, wiring.node("Gather", together, places, axis=1))
    return wiring.node("Add", wiring.node("Gather", of_groups, places, axis=1), share)


class _Wiring:
    """Graph to which nodes are added one behind the other."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node, and return the name of its result."""
        result = self.graph.fresh(f"companion_{kind.lower()}")
        self.graph.nodes.append(helper.make_node(kind, list(inputs), [result], name=result, **attributes))
        return result

    def largest(self, rows: str) -> str:
        """Return the largest value of each row, [N, 1]."""
        if self.graph.opset < _AXES_ARE_INPUTS:
            return self.node("ReduceMax", rows, axes=[1], keepdims=1)
        axes = self.graph.add_constant("companion_axes", np.array([1], np.int64))
        return self.node("ReduceMax", rows, axes, keepdims=1)
