"""Messages of the protocol in JSON, as they are read, written and documented.

The Open Inference Protocol, version 2: https://github.com/kserve/open-inference-protocol, with the extensions
``binary_tensor_data`` and ``model_repository`` of Triton.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Parameters = dict[str, Any]

Dimension = Annotated[int, Field(ge=1, le=2**31 - 1)]


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True, protected_namespaces=())


class ServerMetadata(_Message):
    """What answers, and which extensions of the protocol it knows."""

    name: str = Field(examples=["mutant-guard"])
    version: str = Field(examples=["0.1.0"])
    extensions: list[str] = Field(examples=[["binary_tensor_data", "model_repository"]])


class TensorMetadata(_Message):
    """An input or output of a model."""

    name: str = Field(examples=["image"])
    datatype: str = Field(examples=["BYTES"])
    shape: list[int] = Field(examples=[[-1]])
    """Its dimensions; −1 is the number of images."""
    parameters: Parameters
    """``description``: what it holds."""


class ModelMetadata(_Message):
    """A model: a store, in the version that is loaded."""

    name: str = Field(examples=["mnist-lenet"])
    versions: list[str] = Field(examples=[["3f9c1d2e4b5a6978"]])
    platform: str = Field(examples=["onnxruntime_onnx"])
    inputs: list[TensorMetadata]
    """A request holds exactly one of these."""
    outputs: list[TensorMetadata]
    """Those that the caller may see."""


class ModelState(_Message):
    """A model of the server and whether it answers."""

    name: str = Field(examples=["mnist-lenet"])
    version: str = Field(examples=["3f9c1d2e4b5a6978"])
    state: str = Field(examples=["READY"])
    """``READY`` or ``UNAVAILABLE``."""
    reason: str = Field(examples=[""])
    """Why it is unavailable, else empty."""


class RepositoryQuery(_Message):
    """Which models are asked for."""

    ready: bool | None = None
    """Only those that take requests."""


class LoadRequest(_Message):
    """How a model is to be loaded: as its store says."""

    parameters: Parameters | None = None
    """Those of Triton are not known here: leave it out."""


class Live(_Message):
    """The process answers."""

    live: bool = Field(examples=[True])


class Ready(_Message):
    """The server takes requests."""

    ready: bool = Field(examples=[True])


class ModelReady(_Message):
    """A model takes requests."""

    name: str = Field(examples=["mnist-lenet"])
    ready: bool = Field(examples=[True])


class RequestInput(_Message):
    """An input tensor of a request."""

    name: str = Field(max_length=256, examples=["image"])
    shape: list[Dimension] = Field(min_length=1, max_length=8, fail_fast=True, examples=[[1]])
    datatype: str = Field(max_length=32, examples=["BYTES"])
    parameters: Parameters | None = None
    """``binary_data_size``: its length in bytes, where the data follows the JSON."""
    data: list[Any] | None = Field(default=None, examples=[["iVBORw0KGgo…"]])
    """Its values in row-major order, flat or nested. Image files, which are bytes, are base64 text here."""


class RequestOutput(_Message):
    """An output that is asked for."""

    name: str = Field(max_length=256, examples=["verdict"])
    parameters: Parameters | None = None
    """``binary_data``: whether it is wanted as binary data behind the JSON."""


class InferRequest(_Message):
    """Images to be judged."""

    id: str | None = Field(default=None, max_length=128, examples=["42"])
    """Returned with the answer."""
    parameters: Parameters | None = None
    """``timeout``: microseconds the request may take. ``binary_data_output``: whether outputs are wanted as binary
    data where they do not say themselves."""
    # A fault ends it: of a body full of them each would be described, which takes seconds.
    inputs: list[RequestInput] = Field(min_length=1, max_length=16, fail_fast=True)
    outputs: list[RequestOutput] | None = Field(default=None, max_length=64, fail_fast=True)
    """Which outputs to give; by default all that the caller may see."""


class ResponseOutput(_Message):
    """An output tensor of an answer."""

    name: str = Field(examples=["verdict"])
    shape: list[int] = Field(examples=[[1]])
    datatype: str = Field(examples=["BYTES"])
    parameters: Parameters | None = None
    """``binary_data_size``: its length in bytes, where the data follows the JSON."""
    data: list[Any] | None = Field(default=None, examples=[["normal"]])
    """Its values in row-major order, flat."""


class InferResponse(_Message):
    """Label and verdict of every image of a request."""

    model_name: str = Field(examples=["mnist-lenet"])
    model_version: str = Field(examples=["3f9c1d2e4b5a6978"])
    id: str | None = Field(default=None, examples=["42"])
    """That of the request, if it had one."""
    outputs: list[ResponseOutput]


def schema_of(message: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema of a message without references, so that it holds wherever it is put."""
    schema = message.model_json_schema()
    parts = schema.pop("$defs", {})

    def inlined(node: Any) -> Any:
        if isinstance(node, list):
            return [inlined(part) for part in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            return inlined(parts[node["$ref"].rpartition("/")[2]])
        return {key: inlined(value) for key, value in node.items()}

    return {key: inlined(value) for key, value in schema.items()}
