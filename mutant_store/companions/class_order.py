"""Graph of a companion whose scores are in the original's order of classes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper

from mutant_guard.store.choices import OutputKind
from mutant_store.graph.classifier import LOGITS
from mutant_store.graph.graph import Graph

_LEAST_PROBABILITY = 1e-12
_NEVER = -1e4
"""Logit of a class that the companion does not speak for: its probability is 0 at any temperature."""
COMPANION_SCORES = "companion_scores"
"""Name of a companion's own scores within its graph, or the start of that name."""
_AXES_ARE_INPUTS = 18
"""Operator set from which on reductions take their axes as an input."""


def in_original_order(
    model: ModelProto, kind: OutputKind, to_companion: NDArray[np.int64] | None, original_kind: OutputKind
) -> ModelProto:
    """Return a companion's graph with a score for each class of the original, of the original's kind.

    Where every class of the original has a class of its own, scores change places. Where several
    share one, it speaks for the original's label if that is among them, and else for the first of
    them, so that its doubt of the label is what it gives to other classes. Such a graph reads the
    original's scores, input ``logits``, as well. A label that the companion has no class for is
    doubted as much as the companion is sure of another class.

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
            scores = _grouped(wiring, scores, to_companion)
    if original_kind == "probabilities":
        scores = wiring.node("Softmax", scores, axis=1)
    result = graph.fresh("companion_result")
    graph.nodes.append(helper.make_node("Identity", [scores], [result], name=result))
    if graph.consumers().get(LOGITS):
        graph.proto.input.append(helper.make_tensor_value_info(LOGITS, TensorProto.FLOAT, ["batch", classes]))
    del graph.proto.output[:]
    graph.proto.output.append(helper.make_tensor_value_info(result, TensorProto.FLOAT, ["batch", classes]))
    return graph.to_model()


def _grouped(wiring: "_Wiring", scores: str, to_companion: NDArray[np.int64]) -> str:
    """Return the log-probabilities of the original's classes, of which some share one or have none."""
    graph, classes = wiring.graph, len(to_companion)
    groups, first = np.unique(to_companion, return_index=True)
    speaks = np.zeros(classes, np.bool_)
    speaks[first[groups >= 0]] = True
    constants = {
        "groups": to_companion[None],
        "speaks": speaks[None],
        "numbers": np.arange(classes, dtype=np.int64)[None],
        "sources": np.maximum(to_companion, 0),
        "group_of": to_companion,
        "never": np.array(_NEVER, np.float32),
        "none": np.array([[-1]], np.int64),
        "one": np.array(1, np.float32),
        "floor": np.array(_LEAST_PROBABILITY, np.float32),
    }
    name = {stem: graph.add_constant(f"companion_{stem}", value) for stem, value in constants.items()}
    logs = wiring.node("LogSoftmax", scores, axis=1)
    label = wiring.node("ArgMax", LOGITS, axis=1, keepdims=1)
    group = wiring.node("Gather", name["group_of"], label, axis=0)
    is_label = wiring.node("Equal", name["numbers"], label)
    of_group = wiring.node("Equal", name["groups"], group)
    others = wiring.node("And", name["speaks"], wiring.node("Not", of_group))
    known = wiring.node("Where", others, wiring.node("Gather", logs, name["sources"], axis=1), name["never"])
    surest = wiring.largest(wiring.node("Exp", logs))
    unsure = wiring.node("Max", wiring.node("Sub", name["one"], surest), name["floor"])
    unknown = wiring.node("Sub", wiring.node("Log", unsure), wiring.node("Log", surest))
    of_label = wiring.node(
        "Where",
        wiring.node("Equal", group, name["none"]),
        unknown,
        wiring.node("Gather", logs, name["sources"], axis=1),
    )
    return wiring.node("Where", is_label, of_label, known)


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
