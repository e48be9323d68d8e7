"""Work of a classifier for one image."""

from collections.abc import Sequence
from math import prod

from onnx import ModelProto
from onnx.shape_inference import infer_shapes

from mutant_guard.bank.session import IMAGES
from mutant_store.graph.graph import Graph


def multiply_adds(model: ModelProto, shape: Sequence[int]) -> float:
    """Return the multiply-adds of all convolutions and matrix products for one image.

    Shapes are inferred, nothing is run. A product of unknown shape counts nothing.

    Args:
        model: the classifier, with input ``images``.
        shape: shape of an image as the classifier reads it.
    """
    fixed = ModelProto()
    fixed.CopyFrom(model)
    source = next(entry for entry in fixed.graph.input if entry.name == IMAGES)
    del source.type.tensor_type.shape.dim[:]
    for size in (1, *shape):
        source.type.tensor_type.shape.dim.add(dim_value=size)
    for entry in fixed.graph.output:
        entry.type.tensor_type.ClearField("shape")
    inferred = infer_shapes(fixed, data_prop=True).graph
    entries = (*inferred.value_info, *inferred.output, *inferred.input)
    shapes = {entry.name: [dim.dim_value for dim in entry.type.tensor_type.shape.dim] for entry in entries}
    graph, total = Graph(model), 0.0
    for node in graph.nodes:
        if node.op_type not in ("Conv", "Gemm", "MatMul"):
            continue
        outputs = prod(shapes.get(node.output[0]) or [0])
        weight = graph.constants.get(node.input[1])
        if node.op_type == "Conv":
            length = prod(weight.dims[1:]) if weight is not None else 0
        else:
            length = (shapes.get(node.input[0]) or [0])[-1]
        total += outputs * length
    return total
