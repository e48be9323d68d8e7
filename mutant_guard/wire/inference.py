"""JSON messages of the inference protocol, for reading, writing and documentation.

The Open Inference Protocol, version 2: https://github.com/kserve/open-inference-protocol, with the
extensions ``binary_tensor_data`` and ``model_repository`` of Triton.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Parameters = dict[str, Any]

Dimension = Annotated[int, Field(ge=1, le=2**31 - 1)]


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True, protected_namespaces=())


class _Asked(_Message):
    """Part of an inference request; names of other servers' extensions are kept aside."""

    model_config = ConfigDict(extra="allow")


class ServerMetadata(_Message):
    """Name and version of the server, and the extensions of the protocol that it knows."""

    name: str = Field(examples=["mutant-guard"])
    version: str = Field(examples=["0.1.0"])
    extensions: list[str] = Field(examples=[["binary_tensor_data", "model_repository"]])


class TensorMetadata(_Message):
    """Input or output of a model."""

    name: str = Field(examples=["image"])
    datatype: str = Field(examples=["BYTES"])
    shape: list[int] = Field(examples=[[-1]])
    """Dimensions of the tensor; −1 is the number of images."""
    parameters: Parameters
    """``description``: content of the tensor."""


class ModelMetadata(_Message):
    """Model: a store, in the version that is loaded."""

    name: str = Field(examples=["mnist-lenet"])
    versions: list[str] = Field(examples=[["3f9c1d2e4b5a6978"]])
    platform: str = Field(examples=["onnxruntime_onnx"])
    inputs: list[TensorMetadata]
    """Possible inputs; a request holds exactly one of these."""
    outputs: list[TensorMetadata]
    """Outputs that the caller may see."""


class ModelState(_Message):
    """Model of the server, and whether it answers."""

    name: str = Field(examples=["mnist-lenet"])
    version: str = Field(examples=["3f9c1d2e4b5a6978"])
    state: str = Field(examples=["READY"])
    """``READY`` or ``UNAVAILABLE``."""
    reason: str = Field(examples=[""])
    """Reason why the model is unavailable, else empty."""


class RepositoryQuery(_Message):
    """Selection of models."""

    model_config = ConfigDict(extra="forbid")

    ready: bool | None = None
    """Whether to list only models that take requests."""


class LoadRequest(_Message):
    """Load request for a model, which is loaded as its store defines it."""

    model_config = ConfigDict(extra="forbid")

    parameters: Parameters | None = None
    """Parameters of Triton, which are not known here: leave them out."""


class Live(_Message):
    """Answer that the process is alive."""

    live: bool = Field(examples=[True])


class Ready(_Message):
    """Answer whether the server takes requests."""

    ready: bool = Field(examples=[True])


class ModelReady(_Message):
    """Answer whether a model takes requests."""

    name: str = Field(examples=["mnist-lenet"])
    ready: bool = Field(examples=[True])


class RequestInput(_Asked):
    """Input tensor of a request."""

    name: str = Field(max_length=256, examples=["image"])
    shape: list[Dimension] = Field(min_length=1, max_length=8, fail_fast=True, examples=[[1]])
    datatype: str = Field(max_length=32, examples=["BYTES"])
    parameters: Parameters | None = None
    """``binary_data_size``: length of the data in bytes, where the data follows the JSON."""
    data: list[Any] | None = Field(default=None, examples=[["iVBORw0KGgo…"]])
    """Values in row-major order, flat or nested.
    Image files, which are bytes, are base64 text here."""


class RequestOutput(_Asked):
    """Output that the caller asks for."""

    name: str = Field(max_length=256, examples=["verdict"])
    parameters: Parameters | None = None
    """``binary_data``: whether the output is wanted as binary data behind the JSON."""


class InferRequest(_Asked):
    """Images to be judged."""

    id: str | None = Field(default=None, max_length=128, examples=["42"])
    """Id of the request, returned with the answer."""
    parameters: Parameters | None = None
    """``timeout``: microseconds the request may take.
    ``binary_data_output``: whether outputs are wanted as binary data where they do not say
    themselves."""
    # Stop at the first fault: in a body full of faults each would be described, which takes
    # seconds.
    inputs: list[RequestInput] = Field(min_length=1, max_length=16, fail_fast=True)
    outputs: list[RequestOutput] | None = Field(default=None, max_length=64, fail_fast=True)
    """Outputs to give; by default all that the caller may see."""


class ResponseOutput(_Message):
    """Output tensor of an answer."""

    name: str = Field(examples=["verdict"])
    shape: list[int] = Field(examples=[[1]])
    datatype: str = Field(examples=["BYTES"])
    parameters: Parameters | None = None
    """``binary_data_size``: length of the data in bytes, where the data follows the JSON."""
    data: list[Any] | None = Field(default=None, examples=[["normal"]])
    """Values in row-major order, flat."""


class InferResponse(_Message):
    """Label and verdict of every image of a request."""

    model_name: str = Field(examples=["mnist-lenet"])
    model_version: str = Field(examples=["3f9c1d2e4b5a6978"])
    id: str | None = Field(default=None, examples=["42"])
    """Id of the request, if it had one."""
    parameters: Parameters | None = None
    """``probing``: whether any of the images is part of an attack in the making.
    ``related_queries``: most earlier queries that hardly differ from one of them. Left out where the
    server does not remember queries, or does more than observe them."""
    outputs: list[ResponseOutput]


def schema_of(message: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON schema of a message without references, so that it is valid in any place."""
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
