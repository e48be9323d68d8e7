"""Dense layers on tensors whose rows are not images: tokens before images, or windows of images.

Mutants share a run by rows, one an image. ``nn.MultiheadAttention`` has images on the second axis
or folded behind its tokens, and a Swin transformer folds windows into the batch. A dense layer does
the same to every vector, wherever it stands. So it is put between nodes that bring the images to
the front and others that bring them back.
"""

import math
from dataclasses import dataclass

import numpy as np
from onnx import NodeProto, helper

from mutant_store.graph.batch.batch_axis import MANY
from mutant_store.graph.batch.shapes import Dims, ShapeMismatchError, Shapes
from mutant_store.graph.graph import Graph, attribute

_SAME_ORDER = {"Flatten", "Reshape", "Squeeze", "Unsqueeze"}
"""Operators that leave the values of a tensor in their order."""


@dataclass(frozen=True)
class _Place:
    """Place of the images in a tensor.

    Attributes:
        axis: axis that grows with the number of images.
        before: number of groups of images that the axis has one behind the other.
        after: number of values that the axis has of an image, side by side.
    """

    axis: int
    before: int = 1
    after: int = 1


def bring_images_first(graph: Graph, input_name: str) -> None:
    """Make images the rows of every dense layer of which they are only a part.

    A layer of whose input that cannot be told is left as it is, and so is a convolution.

    Args:
        graph: graph that takes any number of images, constants folded; rewritten in place.
        input_name: name of its input.
    """
    shapes, places = Shapes(graph, input_name, MANY, 1), {input_name: _Place(0)}
    nodes, graph.nodes = graph.nodes, []
    readers: dict[str, list[NodeProto]] = {}
    for node in nodes:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    done: set[str] = set()
    transposed: dict[str, str] = {}
    for node in nodes:
        if node.output[0] in done:
            continue
        steps = [node]
        if dense := _Dense.of(graph, node, readers):
            place, dims = places.get(node.input[0]), shapes.of(node.input[0])
            if place not in (None, _Place(0)) and dims is not None and place.axis < len(dims) - 1:
                steps = dense.between(graph, dims, place, transposed)
                done.add(dense.output)
        for step in steps:
            graph.nodes.append(step)
            try:
                shapes.infer(step)
            except ShapeMismatchError:
                continue
            for name in step.output:
                if (found := _place(shapes, places, step, name)) is not None:
                    places[name] = found


def _place(shapes: Shapes, places: dict[str, _Place], node: NodeProto, output: str) -> _Place | None:
    """Return the place of the images in a node's output, or None where it cannot be told."""
    dims = shapes.of(output)
    axes = [axis for axis, dim in enumerate(dims or ()) if dim and dim % MANY == 0]
    if dims is None or len(axes) != 1:
        return None
    (axis,) = axes
    folded = dims[axis] // MANY
    if folded == 1:
        return _Place(axis)
    if node.op_type in _SAME_ORDER:
        source, place = shapes.of(node.input[0]), places.get(node.input[0])
        if source is None or place is None:
            return None
        outer, others = math.prod(source[: place.axis]) * place.before, math.prod(dims[:axis])
        before = outer // others
        return _Place(axis, before, folded // before) if outer % others == 0 == folded % before else None
    known = {
        (place.before, place.after)
        for name in node.input
        if (place := places.get(name)) is not None and place.before * place.after == folded
    }
    return _Place(axis, *known.pop()) if len(known) == 1 else None


@dataclass(frozen=True)
class _Dense:
    """Dense layer: a product with a constant matrix, and the sum with a constant bias behind it.

    Attributes:
        node: the product, ``MatMul`` or ``Gemm``.
        bias: name of the bias; empty where there is none.
        output: name of the layer's output.
    """

    node: NodeProto
    bias: str
    output: str

    @classmethod
    def of(cls, graph: Graph, node: NodeProto, readers: dict[str, list[NodeProto]]) -> "_Dense | None":
        """Return the dense layer that begins at a node, or None where none does."""
        if node.op_type not in ("MatMul", "Gemm") or node.input[0] in graph.constants:
            return None
        if node.input[1] not in graph.constants or len(graph.array(node.input[1]).shape) != 2:
            return None
        if node.op_type == "Gemm":
            plain = attribute(node, "alpha", 1) == attribute(node, "beta", 1) == 1
            bias = node.input[2] if len(node.input) > 2 else ""
            constant = not bias or bias in graph.constants
            return (
                cls(node, bias, node.output[0])
                if plain and constant and not attribute(node, "transA", 0)
                else None
            )
        output, neurons = node.output[0], graph.array(node.input[1]).shape[1]
        following = readers.get(output, [])
        if len(following) == 1 and following[0].op_type == "Add" and output not in graph.output_names:
            other = next((name for name in following[0].input if name != output), "")
            if other in graph.constants and graph.array(other).shape == (neurons,):
                return cls(node, other, following[0].output[0])
        return cls(node, "", output)

    def between(self, graph: Graph, dims: Dims, place: _Place, transposed: dict[str, str]) -> list[NodeProto]:
        """Return the layer between nodes that bring the images to the front and back.

        Args:
            graph: graph that gets the constants.
            dims: shape of the layer's input, for ``MANY`` images.
            place: place of the images in it.
            transposed: names of transposed weights by name of the weight; those that are new are
                added.
        """
        name = self.node.input[1]
        weight = graph.array(name)
        if self.node.op_type == "Gemm" and attribute(self.node, "transB", 0):
            weight = weight.T
            if name not in transposed:
                transposed[name] = graph.add_constant(f"{name}_transposed", weight)
            name = transposed[name]
        outer = math.prod(dims[: place.axis]) * place.before
        inner = place.after * math.prod(dims[place.axis + 1 : -1])
        apart = [*([outer] if outer > 1 else []), -1, *([inner] if inner > 1 else [])]
        turn = [1, 0, *range(2, len(apart) + 1)] if outer > 1 else None
        back = [*dims[: place.axis], -1, *dims[place.axis + 1 : -1]]
        nodes: list[NodeProto] = []
        self._move(graph, nodes, self.node.input[0], [*apart, dims[-1]], None, turn)
        product = graph.fresh(f"{self.output}_product")
        last = nodes[-1].output[0]
        nodes.append(helper.make_node("MatMul", [last, name], [product], name=self.node.name or product))
        if self.bias:
            summed = graph.fresh(f"{self.output}_summed")
            nodes.append(helper.make_node("Add", [product, self.bias], [summed], name=summed))
        self._move(graph, nodes, nodes[-1].output[0], [*back, weight.shape[1]], turn, None)
        nodes[-1].output[0] = self.output
        return nodes

    def _move(
        self,
        graph: Graph,
        nodes: list[NodeProto],
        tensor: str,
        shape: list[int],
        first: list[int] | None,
        then: list[int] | None,
    ) -> None:
        """Add a transposition before or after a reshape."""
        if first is not None:
            turned = graph.fresh(f"{self.output}_turned")
            nodes.append(helper.make_node("Transpose", [tensor], [turned], name=turned, perm=first))
            tensor = turned
        moved = graph.fresh(f"{self.output}_moved")
        target = graph.add_constant(f"{moved}_shape", np.array(shape, np.int64))
        nodes.append(helper.make_node("Reshape", [tensor, target], [moved], name=moved))
        if then is not None:
            turned = graph.fresh(f"{self.output}_turned")
            nodes.append(helper.make_node("Transpose", [moved], [turned], name=turned, perm=then))
