"""Change of a classifier's graph so that it takes any number of images.

A file exported for a fixed number of images may have the number built in: a reshape to [1, 96], a
class token held as [1, 1, 8]. A file exported for any number may read it from the images wherever
it needs it, which ties every layer to them. The shapes are inferred once more for a number of
images that no other dimension is a multiple of, so that what grows with the batch shows. A node
that stands in the way is rewritten where there is only one way to do so.
"""

import math

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, helper

from mutant_guard.bank.session import open_session
from mutant_guard.errors import ModelError
from mutant_store.graph.batch.shapes import Dims, ShapeMismatchError, Shapes
from mutant_store.graph.graph import Graph, attribute, describe

_AXES_ARE_INPUTS = 13
"""Operator set from which Squeeze reads its axes from an input."""

_FEW = 2
"""Number of images for which positions in tensors are computed."""

MANY = 1_000_003
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
    shapes = Shapes(graph, input_name, MANY, size or 1)
    nodes, graph.nodes = graph.nodes, []
    for node in nodes:
        before = _opened(graph, shapes, node) if size else []
        if node.op_type == "Reshape":
            _settle_reshape(graph, shapes, node)
        elif node.op_type == "Squeeze":
            _settle_squeeze(graph, shapes, node)
        elif node.op_type == "Expand":
            _settle_expand(graph, shapes, node)
        elif node.op_type == "Gather":
            before = _settle_gather(graph, shapes, node, input_name)
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
    return any(dim and dim % MANY == 0 for dim in dims)


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


def _settle_expand(graph: Graph, shapes: Shapes, node: NodeProto) -> None:
    """Ask for one image where the tensor has the whole batch, which then stays as it is."""
    source, target = shapes.of(node.input[0]), shapes.value(node.input[1])
    if source is None or target is None or node.input[1] in graph.constants or len(target) < len(source):
        return
    aligned = (1,) * (len(target) - len(source)) + source
    if any(_grows((dim,)) and dim != own for dim, own in zip(target.tolist(), aligned, strict=True)):
        return
    settled = [1 if _grows((dim,)) else dim for dim in target.tolist()]
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


def _settle_gather(graph: Graph, shapes: Shapes, node: NodeProto, input_name: str) -> list[NodeProto]:
    """Take the values of each image out of that image, and not out of all images in one row.

    torch's newer exporter writes ``as_strided`` so, to which it reduces pooling over images with
    channels last (ConvNeXt, Swin): all images are reshaped to one axis, and the positions in it are
    computed from their number.

    Returns:
        Nodes to put before this one, which becomes a reshape. None where this is no such node.
    """
    producers = graph.producers()
    flat, index = producers.get(node.input[0]), node.input[1]
    source = shapes.of(flat.input[0]) if flat is not None and flat.op_type == "Reshape" else None
    if flat is None or source is None or attribute(node, "axis", 0) or source[0] != MANY:
        return []
    if shapes.of(node.input[0]) != (math.prod(source),):
        return []
    fixed = index in graph.constants
    rows = graph.array(index) if fixed else _positions(graph, shapes, index, input_name)
    each = math.prod(source[1:])
    if rows is None or rows.shape[:1] != (shapes.few(source[:1]) if fixed else (_FEW,)):
        return []
    first = rows[0].ravel()
    starts = np.arange(len(rows))[:, None] * each
    if not ((0 <= first) & (first < each)).all() or (rows.reshape(len(rows), -1) != first + starts).any():
        return []
    stem = node.output[0]
    by_image, chosen = graph.fresh(f"{stem}_by_image"), graph.fresh(f"{stem}_chosen")
    width = graph.add_constant(f"{by_image}_shape", np.array([-1, each], np.int64))
    before = [helper.make_node("Reshape", [flat.input[0], width], [by_image], name=by_image)]
    if np.array_equal(first, np.arange(each)):
        chosen = by_image
    else:
        places = graph.add_constant(f"{chosen}_places", first)
        before.append(helper.make_node("Gather", [by_image, places], [chosen], name=chosen, axis=1))
    node.op_type = "Reshape"
    del node.attribute[:]
    node.input[:] = [chosen, graph.add_constant(f"{stem}_shape", np.array([-1, *rows.shape[1:]], np.int64))]
    return before


def _positions(graph: Graph, shapes: Shapes, name: str, input_name: str) -> NDArray[np.int64] | None:
    """Return a tensor's value for a few images, or None where their content may change it."""
    producers, waiting = graph.producers(), [name]
    while waiting:
        found = waiting.pop()
        if found == input_name:
            return None
        maker = producers.get(found)
        if maker is not None and maker.op_type not in ("Shape", "Size"):
            waiting += maker.input
    image = shapes.of(input_name)
    if image is None:
        return None
    source = [entry for entry in graph.proto.input if entry.name == input_name]
    part = graph.subgraph(source, [helper.make_empty_tensor_value_info(name)])
    session = open_session(part.SerializeToString(), threads=1)
    (value,) = session.run(None, {input_name: np.zeros((_FEW, *image[1:]), np.float32)})
    return np.asarray(value)


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
