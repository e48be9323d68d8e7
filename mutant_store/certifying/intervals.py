"""Intervals of a graph's tensors while its nodes are rewritten one by one.

An interval has two forms, its ends or its middle and radius. The nodes that turn one form into the
other are added where a rule asks for a form that is not there yet.
"""

from dataclasses import dataclass
from math import prod, sqrt
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, helper
from onnx.shape_inference import infer_shapes

from mutant_guard.errors import ModelError
from mutant_store.graph.graph import Graph, describe, reads

_ROUNDING = 2.0**-24
"""Largest relative error of one float32 operation."""

_DEVIATIONS = 8
_CONVERSIONS = 8
"""Operations besides the sum itself whose rounding the slack of a sum covers."""

Pair = tuple[str, str]


@dataclass
class Interval:
    """Interval of every value of a tensor; at least one of its forms is there.

    Attributes:
        ends: names of the tensors of lower and upper bounds.
        middle: names of the tensors of middles and radii.
    """

    ends: Pair | None = None
    middle: Pair | None = None


def slack(terms: int) -> float:
    """Return the relative slack that covers the float32 rounding of a sum of so many terms.

    A sum of n products, in whatever order and with or without fused operations, is wrong by at most
    n u times the sum of their absolute values, where u is 2⁻²⁴, and by at most 8 √n u times that sum
    unless one in some billion sums is hit, since roundings go either way (Higham and Mary 2019, 'A
    new approach to probabilistic rounding error analysis'). The slack is the smaller of the two,
    once for the network's own run and once for the middle's, and somewhat more for the radius and
    for conversions.
    """
    return 2.5 * (min(terms, _DEVIATIONS * sqrt(terms)) + _CONVERSIONS) * _ROUNDING


class Intervals:
    """Graph under construction, and the intervals of the tensors that depend on the image.

    Attributes:
        graph: the network that is rewritten; its constants are shared with the new nodes.
        nodes: new nodes in order.
        found: interval of each tensor that depends on the image, by its name in the network.
        sizes: number of values of one image in each tensor, where it is known.
    """

    def __init__(self, graph: Graph, source: str, ends: Pair, sizes: dict[str, int]) -> None:
        """Begin with the interval of the network's input.

        Args:
            graph: the network.
            source: name of its input.
            ends: names of the tensors that hold the input's bounds.
            sizes: number of values of one image in each tensor, where it is known.
        """
        self.graph = graph
        self.nodes: list[NodeProto] = []
        self.found = {source: Interval(ends=ends)}
        self.sizes = sizes

    def add(self, op_type: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output, and return the output's name."""
        name = self.graph.fresh(f"bound_{op_type}")
        self.nodes.append(helper.make_node(op_type, list(inputs), [name], name=name, **attributes))
        return name

    def repeat(self, node: NodeProto, *inputs: str) -> str:
        """Add a node of the same operator and attributes with other inputs; return its first output."""
        name = self.graph.fresh(f"bound_{node.op_type}")
        again = NodeProto()
        again.CopyFrom(node)
        again.name = name
        del again.input[:], again.output[:]
        again.input.extend(inputs)
        again.output.append(name)
        self.nodes.append(again)
        return name

    def constant(self, value: Any) -> str:
        """Add a float32 constant, and return its name."""
        return self.graph.add_constant("bound_constant", np.asarray(value, np.float32))

    def ends(self, name: str) -> Pair:
        """Return the names of a tensor's lower and upper bounds."""
        interval = self.found[name]
        if interval.ends is None:
            middle, radius = self.middle(name)
            interval.ends = self.add("Sub", middle, radius), self.add("Add", middle, radius)
        return interval.ends

    def middle(self, name: str) -> Pair:
        """Return the names of a tensor's middles and radii."""
        interval = self.found[name]
        if interval.middle is None:
            lower, upper = self.ends(name)
            half = self.constant(0.5)
            middle = self.add("Mul", self.add("Add", lower, upper), half)
            interval.middle = middle, self.add("Mul", self.add("Sub", upper, lower), half)
        return interval.middle

    def spread(self, name: str, factor: float) -> Pair:
        """Return a tensor's middles, and its radii with ``factor`` of the largest magnitude more."""
        middle, radius = self.middle(name)
        largest = self.add("Add", self.add("Abs", middle), radius)
        more = self.add("Mul", largest, self.constant(factor))
        return middle, self.add("Add", radius, more)

    def is_read(self, name: str) -> bool:
        """Check whether a node of the network reads a tensor."""
        return any(name in reads(node) for node in self.graph.nodes if name)

    def fan_in(self, node: NodeProto) -> int:
        """Return the number of values of which a node makes each value, for one image.

        Raises:
            ModelError: the shapes are not known.
        """
        sizes = [self.sizes.get(name) for name in (node.input[0], node.output[0])]
        if sizes[0] is None or not sizes[1]:
            raise refuse(node, "its shape is not known; export the network for images of one size")
        return -(-sizes[0] // sizes[1])


def refuse(node: NodeProto, reason: str) -> ModelError:
    """Return the error for a node through which no bound can be computed, with the reason."""
    return ModelError(f"no bounds can be computed through {describe(node)}: {reason}")


def sizes_of(model: ModelProto) -> dict[str, int]:
    """Return the number of values of one image in each tensor of a model whose shape is known."""
    graph = infer_shapes(model, data_prop=True).graph
    found = {}
    for entry in (*graph.input, *graph.value_info, *graph.output):
        kind = entry.type.tensor_type
        dims = [dim.dim_value for dim in kind.shape.dim[1:]]
        if kind.HasField("shape") and all(dims):
            found[entry.name] = prod(dims)
    return found
