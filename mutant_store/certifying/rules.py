"""Rules by which the nodes of a network become nodes that compute bounds.

Sums with constant weights work on middles and radii, monotone functions on ends. In exact
arithmetic every interval holds whatever the node makes of values in the intervals that it reads;
the slack of ``intervals`` covers float32.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto

from mutant_store.certifying.intervals import Interval, Intervals, Pair, refuse, slack
from mutant_store.graph.graph import attribute

Rule = Callable[[Intervals, NodeProto], Interval]

_STEP = slack(1)
"""Slack of operations on single values."""

PLAIN_DENSE = {"alpha": 1, "beta": 1, "transA": 0}
"""Attributes of a Gemm, with the only values that have a rule."""

_MONOTONE = {"Clip", "Concat", "GlobalMaxPool", "Max", "MaxPool", "Min", "Pad", "PRelu", "ReduceMax", "Relu"}
"""Operators that never fall where an input rises, and that give back float32 numbers exactly."""
_MONOTONE_IF: dict[str, dict[str, float]] = {
    "Celu": {"alpha": 1.0},
    "Elu": {"alpha": 1.0},
    "HardSigmoid": {"alpha": 0.2},
    "LeakyRelu": {"alpha": 0.01},
    "Selu": {"alpha": 1.6732632, "gamma": 1.050701},
    **{name: {} for name in ("Erf", "Sigmoid", "Softplus", "Softsign", "Tanh")},
}
"""Operators that never fall where these attributes, with their defaults, are at least 0.

float32 approximates them.
"""
_MOVING = {"Flatten", "Gather", "Identity", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"}
_MEANS = {"AveragePool", "GlobalAveragePool", "ReduceMean", "ReduceSum"}


def bound(intervals: Intervals, node: NodeProto) -> None:
    """Add the nodes that bound the output of a node which reads an interval.

    Raises:
        ModelError: the operator has no rule, or none for what this node does with it.
    """
    rule = _RULES.get(node.op_type) if node.domain in ("", "ai.onnx") else None
    if rule is None:
        raise refuse(node, "the operator has no rule for intervals")
    if any(intervals.is_read(name) for name in node.output[1:]):
        raise refuse(node, "only its first output has a rule")
    intervals.found[node.output[0]] = rule(intervals, node)


def _constant(intervals: Intervals, node: NodeProto, position: int) -> NDArray[Any]:
    """Return the value of an input of a node, which has to be constant.

    Raises:
        ModelError: it is not.
    """
    name = node.input[position]
    if name not in intervals.graph.constants:
        raise refuse(node, f"'{name}' has to be constant")
    return intervals.graph.array(name)


def _weighted(intervals: Intervals, node: NodeProto) -> Interval:
    """Bound a convolution or a dense layer."""
    if any(attribute(node, name, default) != default for name, default in PLAIN_DENSE.items()):
        raise refuse(node, "alpha and beta have to be 1, and transA 0")
    weight, convolution = _constant(intervals, node, 1), node.op_type == "Conv"
    inputs_last = convolution or attribute(node, "transB", 0)
    factor = slack(int(np.prod(weight.shape[1:] if inputs_last else weight.shape[:1])))
    biased = len(node.input) > 2 and bool(node.input[2])
    bias = _constant(intervals, node, 2) if biased else np.zeros(weight.shape[0 if inputs_last else 1])
    middle, radius = intervals.spread(node.input[0], factor)
    more = intervals.constant(factor * np.abs(bias))
    sizes = intervals.constant(np.abs(weight))
    return Interval(
        middle=(
            intervals.repeat(node, middle, *node.input[1:]),
            intervals.repeat(node, radius, sizes, more),
        )
    )


def _product(intervals: Intervals, node: NodeProto) -> Interval:
    """Bound a product with a constant, of matrices or value by value, or a quotient by one."""
    position = 0 if node.input[0] in intervals.found else 1
    if node.input[1 - position] in intervals.found or (node.op_type == "Div" and position):
        raise refuse(node, "a product or quotient of two tensors that depend on the image has no rule")
    value = _constant(intervals, node, 1 - position)
    if node.op_type == "Div" and not value.all():
        raise refuse(node, "it divides by 0")
    terms = 1
    if node.op_type == "MatMul":
        terms = value.shape[-1 if position or value.ndim == 1 else -2]
    middle, radius = intervals.spread(node.input[position], slack(terms))
    first = [middle, node.input[1]], [radius, intervals.constant(np.abs(value))]
    if position:
        first = [node.input[0], middle], first[1][::-1]
    return Interval(middle=(intervals.repeat(node, *first[0]), intervals.repeat(node, *first[1])))


def _batch_norm(intervals: Intervals, node: NodeProto) -> Interval:
    if attribute(node, "training_mode", 0):
        raise refuse(node, "it is in training mode")
    scale, shift, mean, variance = (
        _constant(intervals, node, place).astype(np.float64) for place in range(1, 5)
    )
    slope = np.abs(scale) / np.sqrt(variance + attribute(node, "epsilon", 1e-5))
    more = _STEP * (slope * np.abs(mean) + np.abs(shift))
    middle, radius = intervals.spread(node.input[0], _STEP)
    own = map(intervals.constant, (np.abs(scale), more, np.zeros_like(mean)))
    return Interval(
        middle=(
            intervals.repeat(node, middle, *node.input[1:]),
            intervals.repeat(node, radius, *own, node.input[4]),
        )
    )


def _sum(intervals: Intervals, node: NodeProto) -> Interval:
    """Bound a sum or a difference of two tensors, of which one may be constant."""
    parts: list[Pair] = []
    for position, name in enumerate(node.input):
        if name in intervals.found:
            parts.append(intervals.spread(name, _STEP))
        else:
            size = np.abs(_constant(intervals, node, position))
            parts.append((name, intervals.constant(_STEP * size)))
    (first, one), (second, other) = parts
    return Interval(middle=(intervals.repeat(node, first, second), intervals.add("Add", one, other)))


def _negative(intervals: Intervals, node: NodeProto) -> Interval:
    middle, radius = intervals.middle(node.input[0])
    return Interval(middle=(intervals.repeat(node, middle), radius))


def _mean(intervals: Intervals, node: NodeProto) -> Interval:
    """Bound a sum or a mean over several values of one image."""
    kernel = next((entry.ints for entry in node.attribute if entry.name == "kernel_shape"), None)
    terms = int(np.prod(kernel)) if kernel else intervals.fan_in(node)
    parts = intervals.spread(node.input[0], slack(terms))
    middle, radius = (intervals.repeat(node, name, *node.input[1:]) for name in parts)
    return Interval(middle=(middle, radius))


def _moved(intervals: Intervals, node: NodeProto) -> Interval:
    """Bound values that only go elsewhere, in the form that is there."""
    if any(name in intervals.found for name in node.input[1:]):
        raise refuse(node, "where values go depends on the image")
    form = intervals.found[node.input[0]]
    first, second = (intervals.repeat(node, name, *node.input[1:]) for name in form.middle or form.ends or ())
    return Interval(middle=(first, second)) if form.middle else Interval(ends=(first, second))


def _monotone(intervals: Intervals, node: NodeProto) -> Interval:
    """Bound a function that never falls where an input rises."""
    attributes = {
        name: attribute(node, name, default) for name, default in _MONOTONE_IF.get(node.op_type, {}).items()
    }
    slopes = _constant(intervals, node, 1) if node.op_type == "PRelu" else np.zeros(1)
    if min([*attributes.values(), slopes.min()]) < 0:
        raise refuse(node, "it has a slope below 0, so it is not monotone")
    parts = [intervals.ends(name) if name in intervals.found else (name, name) for name in node.input]
    lower, upper = (intervals.repeat(node, *names) for names in zip(*parts, strict=True))
    if node.op_type in _MONOTONE:
        return Interval(ends=(lower, upper))
    more = intervals.constant(_STEP * max([1.0, *attributes.values()]))

    def beyond(operator: str, end: str) -> str:
        own = intervals.add("Mul", intervals.add("Abs", end), more)
        return intervals.add(operator, intervals.add(operator, end, own), more)

    return Interval(ends=(beyond("Sub", lower), beyond("Add", upper)))


def _dropout(intervals: Intervals, node: NodeProto) -> Interval:
    if len(node.input) > 2 and node.input[2] and _constant(intervals, node, 2).any():
        raise refuse(node, "it is in training mode")
    return intervals.found[node.input[0]]


_RULES: dict[str, Rule] = {
    "Add": _sum,
    "BatchNormalization": _batch_norm,
    "Conv": _weighted,
    "Div": _product,
    "Dropout": _dropout,
    "Gemm": _weighted,
    "MatMul": _product,
    "Mul": _product,
    "Neg": _negative,
    "Sub": _sum,
    **dict.fromkeys(_MEANS, _mean),
    **dict.fromkeys(_MONOTONE | _MONOTONE_IF.keys(), _monotone),
    **dict.fromkeys(_MOVING, _moved),
}
