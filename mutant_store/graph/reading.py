"""ONNX file as the user gives it, read and checked."""

import os
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import ModelProto, NodeProto

from mutant_guard.errors import ModelError
from mutant_store.boundary import boundary, check_no_pointer, first_line

_QUANTISED = {
    "QuantizeLinear",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
    "ConvInteger",
    "MatMulInteger",
    "QLinearConv",
    "QLinearMatMul",
}


def read_model(path: Path) -> ModelProto:
    """Read an ONNX file with the weights stored beside it, and check it.

    Raises:
        ModelError: the file is missing, no ONNX, empty, or points to weights that are not there
            whole.
    """
    if not path.exists():
        raise ModelError(f"{path}: no such file; export your classifier to ONNX first")
    if not path.is_file():
        raise ModelError(f"{path}: no file; give the ONNX file itself")
    remedy = "export it again"
    with boundary(ModelError, f"{path}: not a readable ONNX file", remedy):
        check_no_pointer(path, ModelError)
        try:
            model = onnx.load(path, load_external_data=False)
        except DecodeError as error:
            raise ModelError(f"{path}: not a readable ONNX file ({first_line(error)}); {remedy}") from error
    _read_weights(model, path)
    with boundary(ModelError, f"{path}: not a readable ONNX file", remedy):
        onnx.checker.check_model(_with_shapes(model))
    if not model.graph.node:
        raise ModelError(f"{path}: the ONNX graph is empty; this is no classifier")
    return model


def check_float(path: Path, nodes: list[NodeProto]) -> None:
    """Refuse quantised layers, whatever the operator set.

    Raises:
        ModelError: a node quantises, or takes quantised values.
    """
    for node in nodes:
        if node.op_type in _QUANTISED or node.op_type.startswith("QLinear"):
            raise ModelError(
                f"{path}: quantised layers are not supported ({node.op_type} '{node.name or node.output[0]}'); "
                "export the float32 model"
            )


def _read_weights(model: ModelProto, path: Path) -> None:
    """Read the weights that are stored beside the file."""
    external = [
        {entry.key: entry.value for entry in tensor.external_data}
        for tensor in model.graph.initializer
        if tensor.data_location == onnx.TensorProto.EXTERNAL
    ]
    beside = f"{path}: the weights beside it cannot be read"
    with boundary(ModelError, beside, "put the whole file beside it, or export it again"):
        for entry in external:
            _check_whole(path.parent, entry)
        onnx.load_external_data_for_model(model, os.fspath(path.parent))


def _check_whole(folder: Path, entry: dict[str, str]) -> None:
    weights = folder / entry.get("location", "")
    if not weights.resolve().is_relative_to(folder.resolve()):
        raise ModelError(
            f"{weights} lies outside the model's folder; put it beside the model and export again"
        )
    if not weights.is_file():
        raise ModelError(
            f"{weights}, which holds weights of the model, is not there; put it beside the model"
        )
    check_no_pointer(weights, ModelError)
    end = int(entry.get("offset", 0)) + int(entry.get("length", 0))
    if weights.stat().st_size < end:
        raise ModelError(
            f"{weights} is cut short: it has {weights.stat().st_size:,} bytes and the model reads up to {end:,}; "
            "copy or download it again"
        )


def _with_shapes(model: ModelProto) -> ModelProto:
    """Return the model, or a copy in which inputs and outputs without a shape have one.

    The checker asks for shapes. What they are shows when the model runs.
    """
    ends = [*model.graph.input, *model.graph.output]
    if all(entry.type.tensor_type.HasField("shape") for entry in ends if entry.type.HasField("tensor_type")):
        return model
    copy = ModelProto()
    copy.CopyFrom(model)
    for entry in (*copy.graph.input, *copy.graph.output):
        if entry.type.HasField("tensor_type"):
            entry.type.tensor_type.shape.SetInParent()
    return copy
