"""Reader of inference requests: the JSON, and the binary data after it."""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from mutant_guard.wire.inference import InferRequest, Parameters, RequestInput, RequestOutput
from service.inference_protocol.errors import ProtocolError
from service.inference_protocol.tensors import InputTensor

MAX_JSON_VALUES = 1 << 18
"""Most values and names of the JSON.
The limit keeps a body from occupying the process, and from growing to many times its size."""

_SHARED_MEMORY = "shared_memory_region"
_PARAMETERS = ("timeout", "binary_data_output")
_INPUT_PARAMETERS = ("binary_data_size",)
_OUTPUT_PARAMETERS = ("binary_data", "classification")
_MICROSECONDS = 1e-6
_MOST_MICROSECONDS = 1 << 62
# A name that differs by more is one of another server's extension, which the protocol allows.
_ALIKE = 0.75
_MOST_COMPARED = 16
_LONGEST_NAME = 64
_M = TypeVar("_M", bound=BaseModel)


@dataclass(frozen=True)
class RequestedOutput:
    """Name of an output that is asked for, and whether it is wanted as binary data."""

    name: str
    binary: bool


@dataclass(frozen=True)
class InferenceRequest:
    """Request whose parts agree with each other.

    Attributes:
        id: the client's name for the request, None where it has none.
        parameters: all parameters, those not known here included.
        inputs: input tensors by name, not decoded.
        outputs: outputs asked for; None where all are.
        binary_output: whether outputs are wanted as binary data where they do not say.
        seconds: longest time the request may take, None where it does not say.
    """

    id: str | None
    parameters: Parameters
    inputs: dict[str, InputTensor]
    outputs: tuple[RequestedOutput, ...] | None
    binary_output: bool
    seconds: float | None


def parse(body: bytes, header_length: int | None) -> InferenceRequest:
    """Read an inference request.

    Args:
        body: JSON, or JSON followed by the inputs' binary data in their order.
        header_length: length of the JSON in bytes (``Inference-Header-Content-Length``); None where
            the body is JSON alone.

    Raises:
        ProtocolError: the body does not follow the protocol.
    """
    length = len(body) if header_length is None else header_length
    if not 0 <= length <= len(body):
        raise ProtocolError(
            f"Inference-Header-Content-Length says {length} bytes of JSON and the body has {len(body)}; make them agree"
        )
    message = read_json(body[:length], InferRequest)
    parameters = message.parameters or {}
    _refuse_misspelt(message.model_extra, InferRequest.model_fields, "the request")
    _refuse_misspelt(parameters, _PARAMETERS, "parameters")
    binary_output = _flag(parameters, "binary_data_output", "parameters", default=False)
    return InferenceRequest(
        id=message.id,
        parameters=parameters,
        inputs=_inputs(message.inputs, memoryview(body)[length:]),
        outputs=_outputs(message.outputs, binary_output),
        binary_output=binary_output,
        seconds=_seconds(parameters),
    )


def read_json(text: bytes, kind: type[_M]) -> _M:
    """Read a message.

    Args:
        text: JSON of the message.
        kind: type of the message.

    Raises:
        ProtocolError: the text is no JSON, holds more than ``MAX_JSON_VALUES`` values, or is
            another message.
    """
    # Each value or name follows one of these characters; base64 has none of them.
    if sum(map(text.count, (b",", b"[", b"{", b":"))) > MAX_JSON_VALUES:
        raise ProtocolError(
            f"the JSON holds more than {MAX_JSON_VALUES:,} values; send tensors as binary data (binary_data_size)"
        )
    try:
        raw = from_json(text, allow_inf_nan=False, cache_strings="keys")
    except ValueError as error:
        raise ProtocolError(f"the request is no JSON: {error}") from error
    try:
        return kind.model_validate(raw, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ProtocolError(f"{_where(raw, first['loc'])}: {first['msg']}") from error


def _where(raw: Any, loc: tuple[int | str, ...]) -> str:
    """Return the place of a fault; a tensor is given by its name where it has one."""
    if len(loc) < 2 or loc[0] not in ("inputs", "outputs") or not isinstance(loc[1], int):
        return " ".join(map(str, loc)) or "the request"
    kind, number = str(loc[0]).removesuffix("s"), loc[1]
    tensor = raw[loc[0]][number]
    name = tensor.get("name") if isinstance(tensor, dict) else None
    which = f"{kind} '{name:.256}'" if isinstance(name, str) else f"{kind} {number}"
    return " ".join([which, *map(str, loc[2:])])


def _inputs(declared: list[RequestInput], rest: memoryview) -> dict[str, InputTensor]:
    _refuse_twice("input", (one.name for one in declared))
    inputs, position = {}, 0
    for one in declared:
        _refuse_misspelt(one.model_extra, RequestInput.model_fields, f"input '{one.name}'")
        _refuse_misspelt(one.parameters, _INPUT_PARAMETERS, f"input '{one.name}'")
        size = _binary_size(one, len(rest) - position)
        data = one.data if size is None else rest[position : position + size]
        position += size or 0
        if data is None:
            raise ProtocolError(f"input '{one.name}' has no data; give it data or binary_data_size")
        inputs[one.name] = InputTensor(one.name, one.datatype, tuple(one.shape), data)
    if position != len(rest):
        raise ProtocolError(
            f"{len(rest) - position} bytes of the body belong to no input; make binary_data_size and the body agree"
        )
    return inputs


def _binary_size(declared: RequestInput, left: int) -> int | None:
    """Return the length of an input's binary data in bytes, None where it has none."""
    parameters = declared.parameters or {}
    if _SHARED_MEMORY in parameters:
        raise ProtocolError(f"input '{declared.name}': shared memory is not read here; send its data")
    if "binary_data_size" not in parameters:
        return None
    size = parameters["binary_data_size"]
    if type(size) is not int or size < 0:
        raise ProtocolError(
            f"input '{declared.name}': binary_data_size is its length in bytes, a whole number"
        )
    if declared.data is not None:
        raise ProtocolError(f"input '{declared.name}' has both data and binary_data_size; send one of them")
    if size > left:
        raise ProtocolError(
            f"input '{declared.name}': binary_data_size says {size} bytes and {left} are left behind the JSON; send "
            "them all, and the length of the JSON as Inference-Header-Content-Length"
        )
    return size


def _outputs(declared: list[RequestOutput] | None, default: bool) -> tuple[RequestedOutput, ...] | None:
    if not declared:
        return None
    _refuse_twice("output", (one.name for one in declared))
    for one in declared:
        parameters = one.parameters or {}
        _refuse_misspelt(one.model_extra, RequestOutput.model_fields, f"output '{one.name}'")
        _refuse_misspelt(parameters, _OUTPUT_PARAMETERS, f"output '{one.name}'")
        if _SHARED_MEMORY in parameters:
            raise ProtocolError(
                f"output '{one.name}': shared memory is not written here; take it in the answer"
            )
        if "classification" in parameters:
            raise ProtocolError(
                f"output '{one.name}': the classification extension is not known here; ask for the outputs 'label' "
                "and 'class_name'"
            )
    return tuple(
        RequestedOutput(
            one.name, _flag(one.parameters or {}, "binary_data", f"output '{one.name}'", default=default)
        )
        for one in declared
    )


def _refuse_twice(kind: str, names: Iterable[str]) -> None:
    for name, times in Counter(names).items():
        if times > 1:
            raise ProtocolError(f"{kind} '{name}' is there {times} times; give it once")


def _refuse_misspelt(given: Iterable[str] | None, known: Collection[str], where: str) -> None:
    """Refuse a name that is nearly a known one: it would be passed over."""
    for name in islice(given or (), _MOST_COMPARED):
        if name in known or len(name) > _LONGEST_NAME:
            continue
        if near := get_close_matches(name.lower(), known, n=1, cutoff=_ALIKE):
            raise ProtocolError(f"{where}: '{name}' is not known; did you mean '{near[0]}'?")


def _flag(parameters: Parameters, name: str, where: str, *, default: bool) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise ProtocolError(f"{where}: {name} is true or false")
    return value


def _seconds(parameters: Parameters) -> float | None:
    """Return the parameter ``timeout`` in seconds; 0 means no timeout, as with Triton."""
    timeout = parameters.get("timeout", 0)
    if type(timeout) is not int or timeout < 0:
        raise ProtocolError("parameters: timeout is a whole number of microseconds, 0 or more")
    # JSON may hold whole numbers that no float can.
    return min(timeout, _MOST_MICROSECONDS) * _MICROSECONDS or None
