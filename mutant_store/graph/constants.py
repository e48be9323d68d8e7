"""Evaluation of nodes whose inputs are all constant.

onnxruntime does it, which also runs the file as given: every operator then follows the rules of the
file's own operator set.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper
from onnx.shape_inference import infer_node_outputs

from mutant_guard.bank.session import open_session
from mutant_guard.errors import ModelError

MOST_ELEMENTS = 1 << 28
"""Largest number of elements of a computed constant: 1 GiB of float32."""

_SMALL = 1 << 10
_NUMBERS = (
    "float",
    "double",
    "float16",
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
)
_TYPES = {f"tensor({name})" for name in (*_NUMBERS, "bool", "string")}
"""Types of tensors that numpy holds as they are."""
_UNSEEDED = {"Bernoulli", "Multinomial"}


def evaluate(
    node: NodeProto, inputs: Mapping[str, TensorProto], opset: int
) -> dict[str, NDArray[Any]] | None:
    """Return the outputs of a node by name, or None where it has to stay in the graph.

    It stays if it draws at random, holds a graph of its own or is of a foreign domain, and where
    onnxruntime cannot run it alone.

    Args:
        node: the node.
        inputs: values by name of all its inputs.
        opset: version of the standard operator set.

    Raises:
        ModelError: an output would be absurdly large.
    """
    random = node.op_type.startswith("Random") or node.op_type in _UNSEEDED
    graphs = any(entry.type in (entry.GRAPH, entry.GRAPHS) for entry in node.attribute)
    if random or graphs or node.domain not in ("", "ai.onnx"):
        return None
    _check_size(node, inputs, opset)
    names = [name for name in node.output if name]
    graph = helper.make_graph(
        [node],
        "constant",
        [],
        [helper.make_empty_tensor_value_info(name) for name in names],
        [*inputs.values()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    try:
        session = open_session(model.SerializeToString(), threads=1)
        if any(entry.type not in _TYPES for entry in session.get_outputs()):
            return None
        return dict(zip(names, map(np.asarray, session.run(names, {})), strict=True))
    except MemoryError:
        raise
    except Exception:  # whatever onnxruntime or protobuf says: the node is then left to the model's own run
        return None


def _check_size(node: NodeProto, inputs: Mapping[str, TensorProto], opset: int) -> None:
    """Refuse a node that says that it makes gigabytes out of a few numbers."""
    try:
        schema = onnx.defs.get_schema(node.op_type, opset)
        types = {
            name: helper.make_tensor_type_proto(tensor.data_type, list(tensor.dims))
            for name, tensor in inputs.items()
        }
        small = {name: tensor for name, tensor in inputs.items() if math.prod(tensor.dims) <= _SMALL}
        outputs = infer_node_outputs(
            schema, node, types, small, opset_imports=[helper.make_opsetid("", opset)]
        )
        sizes = [math.prod(dim.dim_value for dim in kind.tensor_type.shape.dim) for kind in outputs.values()]
    except Exception:  # what cannot be inferred has no size to judge, and fails when it runs
        return
    if max(sizes, default=0) > MOST_ELEMENTS:
        name = f" '{node.name}'" if node.name else ""
        raise ModelError(
            f"{node.op_type}{name} would make a constant of {max(sizes):,} values; export the model again"
        )
