"""Change of a classifier's graph so that it takes any number of images.

A file exported for a fixed number of images may have the number built in: a reshape to [1, 96], a
class token held as [1, 1, 8]. A file exported for any number may read it from the images wherever
it needs it, which ties every layer to them. The shapes are inferred once more for a number of
images that no other dimension is a multiple of, so that what grows with the batch shows. A node
that stands in the way is rewritten where there is only one way to do so.
"""

import math

import numpy as np
from onnx import NodeProto, helper

from mutant_guard.errors import ModelError
from mutant_store.graph.graph import Graph, attribute, describe
from mutant_store.graph.shapes import Dims, ShapeMismatchError, Shapes

_AXES_ARE_INPUTS = 13
"""Operator set from which Squeeze reads its axes from an input."""

_MANY = 1_000_003
"""Number of images to infer for: a prime above any dimension of a model."""


def open_batch(graph: Graph, input_name: str, size: int | None) -> None:
    """Make a graph take any number of images, looking only at what nodes do to shapes.

    A node whose shapes cannot be inferred is left alone. Whether images influence each other is not
    checked here but by ``check_scores``.

    Args:
        graph: nodes in order, constants folded; rewritten in place.
        input_name: name of its input, whose first axis is the batch.
        size: number of images that it was exported for; None where any number will do.

    Raises:
        ModelError: a node takes no other number of images than ``size``; the message names it.
    """
    shapes = Shapes(graph, input_name, _MANY, size or 1)
    nodes, graph.nodes = graph.nodes, []
    for node in nodes:
        before = _opened(graph, shapes, node) if size else []
        if node.op_type == "Reshape":
            _settle_reshape(graph, shapes, node)
        elif node.op_type == "Squeeze":
            _settle_squeeze(graph, shapes, node)
        for step in (*before, node):
            graph.nodes.append(step)
            try:
                outputs = shapes.infer(step)
            except ShapeMismatchError as error:
                if size:
                    raise _refuse(node, size) from error
                continue
            read = [dims for name in step.input if (dims := shapes.of(name)) is not None]
            if size and any(map(_grows, read)) and outputs and not any(map(_grows, outputs)):
                raise _refuse(node, size)


def _grows(dims: Dims) -> bool:
    return any(dim and dim % _MANY == 0 for dim in dims)


def _refuse(node: NodeProto, size: int) -> ModelError:
    return ModelError(
        f"the model was exported for batches of {size}, and {describe(node)} takes no others: "
        "export it with a dynamic batch axis"
    )


def _opened(graph: Graph, shapes: Shapes, node: NodeProto) -> list[NodeProto]:
    """Rewrite a node's constant inputs, and return the nodes to put before it."""
    if node.op_type == "Reshape":
        _open_reshape(graph, shapes, node)
    elif node.op_type == "Expand":
        _open_expand(graph, shapes, node)
    elif node.op_type == "Concat":
        return _open_concat(graph, shapes, node)
    return []


def _open_reshape(graph: Graph, shapes: Shapes, node: NodeProto) -> None:
    """Let the axis grow that begins where the batch does.

    Rows of a reshaped tensor keep their order, so an axis with as many elements before it as before
    the batch is the one that grows.
    """
    source, target = shapes.of(node.input[0]), shapes.value(node.input[1])
    if source is None or target is None or not _grows(source) or node.input[1] not in graph.constants:
        return
    literal = bool(attribute(node, "allowzero", 0))
    axis = next(i for i, dim in enumerate(source) if _grows((dim,)))
    few = shapes.few(source)
    exported = _resolve(target.tolist(), few, literal)
    if exported is None or exported[:axis] != few[:axis] or len(exported) == axis:
        return
    if axis and exported[axis] != few[axis]:
        return  # behind other axes the batch may be folded into the one before as well as into this one
    wanted = [*exported]
    wanted[axis] = -1
    if _resolve(wanted, source, literal) != _resolve(target.tolist(), source, literal):
        node.input[1] = graph.add_constant(f"{node.output[0]}_shape", np.array(wanted, np.int64))


def _settle_reshape(graph: Graph, shapes: Shapes, node: NodeProto) -> None:
    """Mark the axis that grows with the batch by −1, so that no run computes its length."""
    source, target = shapes.of(node.input[0]), shapes.value(node.input[1])
    if source is None or target is None or node.input[1] in graph.constants:
        return
    found = _resolve(target.tolist(), source, bool(attribute(node, "allowzero", 0)))
    if found is None or sum(_grows((dim,)) for dim in found) != 1 or 0 in found:
        return
    settled = [-1 if _grows((dim,)) else dim for dim in found]
    node.input[1] = graph.add_constant(f"{node.output[0]}_shape", np.array(settled, np.int64))


def _settle_squeeze(graph: Graph, shapes: Shapes, node: NodeProto) -> None:
    """Name the axes that a squeeze takes away, so that it keeps the batch of a single image."""
    source = shapes.of(node.input[0])
    named = any(entry.name == "axes" for entry in node.attribute) or any(node.input[1:])
    if source is None or named or not _grows(source):
        return
    axes = [axis for axis, dim in enumerate(source) if dim == 1]
    if not axes:
        node.op_type, node.input[:] = "Identity", node.input[:1]
    elif graph.opset < _AXES_ARE_INPUTS:
        node.attribute.append(helper.make_attribute("axes", axes))
    else:
        name = graph.add_constant(f"{node.output[0]}_axes", np.array(axes, np.int64))
        node.input[:] = [node.input[0], name]


def _resolve(target: list[int], source: Dims, literal: bool) -> Dims | None:
    """Return the shape that a reshape gives, or None where it fails.

    ``literal`` is the attribute ``allowzero`` of the node.
    """
    if not literal:
        if any(dim == 0 and axis >= len(source) for axis, dim in enumerate(target)):
            return None
        target = [dim or source[axis] for axis, dim in enumerate(target)]
    total, known = math.prod(source), math.prod(dim for dim in target if dim != -1)
    if -1 in target and known and total % known == 0:
        return tuple(total // known if dim == -1 else dim for dim in target)
    return tuple(target) if total == known and -1 not in target else None


def _open_expand(graph: Graph, shapes: Shapes, node: NodeProto) -> None:
    """Let the shape ask for one image where the tensor has a batch, which then stays as it is."""
    source, target = shapes.of(node.input[0]), shapes.value(node.input[1])
    if source is None or target is None or node.input[1] not in graph.constants:
        return
    behind = len(target) - len(source)
    opened = target.copy()
    for axis, (dim, few) in enumerate(zip(source, shapes.few(source), strict=True), start=behind):
        if axis >= 0 and dim != few == opened[axis]:
            opened[axis] = 1
    if (opened != target).any():
        node.input[1] = graph.add_constant(f"{node.output[0]}_shape", opened)


def _open_concat(graph: Graph, shapes: Shapes, node: NodeProto) -> list[NodeProto]:
    """Repeat a constant that is put beside every image, such as a class token, once per image.

    Returns:
        Nodes to put before the concatenation.
    """
    like = next((name for name in node.input if _grows((shapes.of(name) or (0,))[:1])), None)
    dims = shapes.of(like or "")
    if like is None or dims is None or attribute(node, "axis", 0) in (0, -len(dims)) or graph.opset < 8:
        return []
    before: list[NodeProto] = []
    for position, name in enumerate(node.input):
        if name not in graph.constants or graph.array(name).shape[0] != shapes.few(dims)[0]:
            continue
        rows = graph.array(name)
        if (rows != rows[:1]).any():
            continue
        stem = f"{node.output[0]}_{position}"
        row = graph.add_constant(f"{stem}_row", rows[:1])
        first = graph.add_constant(f"{stem}_first", np.zeros(1, np.int64))
        ones = graph.add_constant(f"{stem}_ones", np.ones(rows.ndim - 1, np.int64))
        shape, count, target, all_rows = (
            graph.fresh(f"{stem}_{part}") for part in ("like", "count", "shape", "rows")
        )
        before += [
            helper.make_node("Shape", [like], [shape]),
            helper.make_node("Gather", [shape, first], [count]),
            helper.make_node("Concat", [count, ones], [target], axis=0),
            helper.make_node("Expand", [row, target], [all_rows]),
        ]
        node.input[position] = all_rows
    return before
