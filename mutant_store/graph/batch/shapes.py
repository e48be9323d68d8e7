"""Shapes of a graph's tensors for a chosen number of images.

They are inferred node by node as the graph is rewritten.
"""

import math

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TypeProto, helper, numpy_helper
from onnx.shape_inference import InferenceError, infer_node_outputs

from mutant_store.graph.constants import evaluate
from mutant_store.graph.graph import Graph, attribute

Dims = tuple[int, ...]

_SMALL = 64
"""Largest number of elements of an integer tensor whose values are followed, as shapes need."""


class ShapeMismatchError(Exception):
    """Mismatch of a node's inputs for any number of images but that of the export."""


class Shapes:
    """Knowledge of every tensor's shape for ``many`` images, gathered node by node in order."""

    def __init__(self, graph: Graph, input_name: str, many: int, size: int) -> None:
        """Begin with the input of a graph.

        Args:
            graph: the graph.
            input_name: name of its input.
            many: number of images, a prime that no dimension is a multiple of.
            size: number of images that the model was exported for.
        """
        self._graph, self._many, self._size = graph, many, size
        self._values: dict[str, NDArray[np.int64]] = {}
        kind = TypeProto()
        kind.CopyFrom(next(entry.type for entry in graph.proto.input if entry.name == input_name))
        kind.tensor_type.shape.dim[0].dim_value = many
        self._types = {input_name: kind}

    def of(self, name: str) -> Dims | None:
        """Return a tensor's dimensions, or None where one of them is not known."""
        if name in self._graph.constants:
            return tuple(self._graph.constants[name].dims)
        kind = self._types.get(name)
        return None if kind is None else _dims(kind)

    def value(self, name: str) -> NDArray[np.int64] | None:
        """Return the integers or truths of a small tensor, or None where they are not known."""
        if name in self._graph.constants:
            tensor = self._graph.constants[name]
            whole = tensor.data_type in (
                onnx.TensorProto.INT64,
                onnx.TensorProto.INT32,
                onnx.TensorProto.BOOL,
            )
            return self._graph.array(name) if whole and math.prod(tensor.dims) <= _SMALL else None
        return self._values.get(name)

    def few(self, dims: Dims) -> Dims:
        """Return dimensions for as many images as the model was exported for."""
        return tuple(dim // self._many * self._size if dim % self._many == 0 else dim for dim in dims)

    def infer(self, node: NodeProto) -> list[Dims]:
        """Infer the shapes of a node's outputs.

        Returns:
            Shapes of the outputs that are known and are not themselves numbers about shapes.

        Raises:
            ShapeMismatchError: the node takes only as many images as the model was exported for.
        """
        inputs = {name: kind for name in node.input if (kind := self._type(name)) is not None}
        if not inputs or len(inputs) < len({name for name in node.input if name}):
            return []
        values = {name: value for name in inputs if (value := self.value(name)) is not None}
        try:
            outputs = self._infer(node, inputs, values)
        except InferenceError as error:
            try:
                few = {
                    name: np.array(self.few(tuple(value.ravel().tolist())), value.dtype).reshape(value.shape)
                    for name, value in values.items()
                }
                exported = {name: self._exported(kind) for name, kind in inputs.items()}
                self._infer(node, exported, few)
            except InferenceError:
                return []  # the export's own number of images cannot be inferred either
            raise ShapeMismatchError(str(error)) from error
        self._types |= outputs
        self._follow(node, values)
        return [
            dims
            for name, kind in outputs.items()
            if name not in self._values and (dims := _dims(kind)) is not None
        ]

    def _type(self, name: str) -> TypeProto | None:
        if name not in self._graph.constants:
            return self._types.get(name)
        tensor = self._graph.constants[name]
        return helper.make_tensor_type_proto(tensor.data_type, list(tensor.dims))

    def _infer(
        self, node: NodeProto, inputs: dict[str, TypeProto], values: dict[str, NDArray[np.int64]]
    ) -> dict[str, TypeProto]:
        if node.domain not in ("", "ai.onnx"):
            return {}
        try:
            schema = onnx.defs.get_schema(node.op_type, self._graph.opset)
        except onnx.defs.SchemaError:
            return {}
        data = {name: numpy_helper.from_array(value, name) for name, value in values.items()}
        try:
            return infer_node_outputs(
                schema, node, inputs, data, opset_imports=[helper.make_opsetid("", self._graph.opset)]
            )
        except InferenceError:
            raise
        except Exception:  # such as a node without what its operator needs: nothing is known of it
            return {}

    def _exported(self, kind: TypeProto) -> TypeProto:
        exported = TypeProto()
        exported.CopyFrom(kind)
        for dim in exported.tensor_type.shape.dim:
            if dim.dim_value:
                dim.dim_value = self.few((dim.dim_value,))[0]
        return exported

    def _follow(self, node: NodeProto, values: dict[str, NDArray[np.int64]]) -> None:
        """Compute a node's outputs where they are numbers about shapes."""
        dims = self.of(node.input[0])
        if node.op_type in ("Shape", "Size") and dims is not None:
            start, end = int(attribute(node, "start", 0)), int(attribute(node, "end", len(dims)))
            found = np.array(dims[start:end] if node.op_type == "Shape" else math.prod(dims), np.int64)
            self._values[node.output[0]] = found
            return
        sizes = [dims for name in node.output if (dims := self.of(name)) is not None]
        known = len(values) == len({name for name in node.input if name})
        if not known or len(sizes) < len(node.output) or any(math.prod(size) > _SMALL for size in sizes):
            return
        given = {name: numpy_helper.from_array(value, name) for name, value in values.items()}
        for name, value in (evaluate(node, given, self._graph.opset) or {}).items():
            if value.dtype.kind in "ib":
                self._values[name] = value


def _dims(kind: TypeProto) -> Dims | None:
    shape = kind.tensor_type.shape
    known = kind.tensor_type.HasField("shape") and all(dim.HasField("dim_value") for dim in shape.dim)
    return tuple(dim.dim_value for dim in shape.dim) if known else None
