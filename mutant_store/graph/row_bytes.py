"""Bytes of activations that a run of a graph takes for each row of its batch."""

import math

from onnx import GraphProto, ModelProto, ValueInfoProto, helper
from onnx.shape_inference import InferenceError, infer_shapes

from mutant_guard.bank.session import ROW_BYTES
from mutant_store.graph.graph import reads

_SMALL = 1024
"""Largest number of bytes of a constant whose values may tell shapes."""
_RESERVE = 1.25
"""Bytes that onnxruntime takes, as a multiple of those of the live tensors: scratch, and holes."""


def note_row_bytes(model: ModelProto) -> ModelProto:
    """Write the bytes of activations of a row into a graph's metadata, and return it.

    ``BankSession`` reads them there.
    """
    if all(entry.key != ROW_BYTES for entry in model.metadata_props):
        model.metadata_props.add(key=ROW_BYTES, value=str(row_bytes(model)))
    return model


def row_bytes(model: ModelProto, image: tuple[int, ...] = ()) -> int:
    """Return the bytes of activations that a run of a graph takes for each row.

    It is the most that tensors which depend on the batch take at a time, each from the node that
    makes it to the last that reads it, with a reserve of a quarter. A tensor of unknown shape
    counts as the largest that its node reads.

    Args:
        model: graph with an open batch axis.
        image: shape of a row of the graph's first input, where the graph leaves it open.
    """
    graph = model.graph
    rows = [_one_row(entry, image) for entry in graph.input if _is_batch(entry)]
    sizes = {entry.name: _bytes(entry) or 0 for entry in rows}
    known = {entry.name: _bytes(entry) for entry in _inferred(model, rows)}
    last = {name: place for place, node in enumerate(graph.node) for name in reads(node)}
    last |= dict.fromkeys((entry.name for entry in graph.output), len(graph.node))
    live = sum(sizes.values())
    most = live
    for place, node in enumerate(graph.node):
        own = [sizes[name] for name in node.input if name in sizes]
        if not own:  # it does not depend on the batch
            continue
        for name in filter(None, node.output):
            sizes[name] = known.get(name) or max(own)
            live += sizes[name]
        most = max(most, live)
        done = {name for name in (*node.input, *node.output) if last.get(name, place) == place}
        live -= sum(sizes.get(name, 0) for name in done)
    return math.ceil(_RESERVE * most)


def _is_batch(entry: ValueInfoProto) -> bool:
    dims = entry.type.tensor_type.shape.dim
    return bool(dims) and not dims[0].dim_value


def _one_row(entry: ValueInfoProto, image: tuple[int, ...]) -> ValueInfoProto:
    row = ValueInfoProto()
    row.CopyFrom(entry)
    first, *others = row.type.tensor_type.shape.dim
    first.dim_value = 1
    for dim, size in zip(others, image, strict=False):
        dim.dim_value = dim.dim_value or size
    return row


def _inferred(model: ModelProto, rows: list[ValueInfoProto]) -> list[ValueInfoProto]:
    """Return the shapes of all tensors for one row, as far as they can be inferred."""
    graph, given = model.graph, {entry.name for entry in rows}
    others = [entry for entry in graph.input if entry.name not in given]
    large = [entry for entry in graph.initializer if 4 * math.prod(entry.dims) > _SMALL]
    shapes = [helper.make_tensor_value_info(entry.name, entry.data_type, list(entry.dims)) for entry in large]
    names = {entry.name for entry in shapes}
    light = helper.make_graph(
        graph.node,
        "shapes",
        [*rows, *(entry for entry in others if entry.name not in names), *shapes],
        [helper.make_empty_tensor_value_info(entry.name) for entry in graph.output],
        [entry for entry in graph.initializer if entry.name not in names],
    )
    made = helper.make_model(light, opset_imports=model.opset_import, ir_version=model.ir_version)
    try:
        found: GraphProto = infer_shapes(made, data_prop=True).graph
    except (InferenceError, ValueError, RuntimeError):  # such as operators that onnx does not know
        return rows
    return [*found.value_info, *found.output]


def _bytes(entry: ValueInfoProto) -> int | None:
    """Return the bytes of a tensor, or None where its shape is not known."""
    kind = entry.type.tensor_type
    if not kind.HasField("shape") or not all(dim.HasField("dim_value") for dim in kind.shape.dim):
        return None
    try:
        width = helper.tensor_dtype_to_np_dtype(kind.elem_type).itemsize
    except (KeyError, ValueError, TypeError):
        width = 4
    return math.prod(dim.dim_value for dim in kind.shape.dim) * int(width)
