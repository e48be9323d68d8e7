"""Tensors as JSON and as binary data, with every length checked before it is used.

Source: the binary tensor data extension,
https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.inference_protocol.datatypes import Datatype
from service.inference_protocol.errors import ProtocolError

_LENGTH_BYTES = 4

_JSON_TYPES: dict[Datatype, tuple[set[type], str]] = {
    Datatype.BOOL: ({bool}, "true or false"),
    Datatype.UINT8: ({int}, "whole numbers from 0 to 255"),
    Datatype.INT64: ({int}, "whole numbers of 64 bits"),
    Datatype.FP32: ({int, float}, "numbers in the range of 32-bit floats"),
    Datatype.BYTES: ({str}, "strings"),
}


@dataclass(frozen=True)
class InputTensor:
    """Tensor as it arrived: declared, not decoded.

    Attributes:
        name: name of the tensor.
        datatype: datatype as declared, any text.
        shape: dimensions, each at least 1.
        data: JSON values, flat or nested, or the binary data.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: list[Any] | memoryview

    @property
    def is_binary(self) -> bool:
        """Whether the data came as binary data."""
        return isinstance(self.data, memoryview)


@dataclass(frozen=True)
class OutputTensor:
    """Tensor to be sent.

    Attributes:
        name: name of the tensor.
        datatype: datatype of the tensor.
        values: array of the datatype's NumPy type.
    """

    name: str
    datatype: Datatype
    values: NDArray[Any]


def decode(tensor: InputTensor) -> NDArray[Any]:
    """Decode a tensor.

    Returns:
        An array of the declared shape and of the datatype's NumPy type; not to be written to.
            Elements of BYTES are ``bytes``, in JSON the UTF-8 of the strings.

    Raises:
        ProtocolError: the datatype is unknown, or the data has another length, shape or range than
            declared.
    """
    if tensor.datatype not in Datatype.__members__:
        known = ", ".join(Datatype)
        raise _wrong(tensor, f"datatype '{tensor.datatype:.32}' is not known here; send one of {known}")
    datatype = Datatype(tensor.datatype)
    if isinstance(tensor.data, memoryview):
        values = _from_binary(tensor, datatype, tensor.data)
    else:
        values = _from_json(tensor, datatype, _flat(tensor, tensor.data))
    return values.reshape(tensor.shape)


def to_json(tensor: OutputTensor) -> list[Any]:
    """Return the values of a tensor in row-major order, as a list for JSON.

    JSON has no NaN and no infinity. Null stands for both, and NumPy reads it as NaN: an answer with
    an alarm must not fail for the scores that it is about.

    Raises:
        ProtocolError: JSON cannot hold a value (bytes that are not UTF-8).
    """
    values = tensor.values.ravel()
    if tensor.datatype == Datatype.BYTES:
        try:
            return [element.decode() for element in values.tolist()]
        except UnicodeDecodeError as error:
            raise _not_in_json(tensor, "bytes that are not UTF-8") from error
    if tensor.datatype == Datatype.FP32 and not np.isfinite(values).all():
        return [value if isfinite(value) else None for value in values.tolist()]
    return values.tolist()


def to_binary(tensor: OutputTensor) -> bytes:
    """Return the values of a tensor in row-major order, little-endian.

    Each element of BYTES follows its length (4 bytes).
    """
    if tensor.datatype == Datatype.BYTES:
        elements: list[bytes] = tensor.values.ravel().tolist()
        return b"".join(len(one).to_bytes(_LENGTH_BYTES, "little") + one for one in elements)
    return tensor.values.astype(tensor.datatype.dtype, copy=False).tobytes()


def of_bytes(elements: Sequence[bytes]) -> NDArray[np.object_]:
    """Return elements as an array [N] of BYTES.

    NumPy's own array of bytes would cut zeros at an element's end.
    """
    array = np.empty(len(elements), dtype=np.object_)
    array[:] = elements
    return array


def _wrong(tensor: InputTensor, what: str) -> ProtocolError:
    return ProtocolError(f"input '{tensor.name}': {what}")


def _not_in_json(tensor: OutputTensor, what: str) -> ProtocolError:
    return ProtocolError(
        f"output '{tensor.name}' holds {what}, which JSON cannot; ask for it as binary data (binary_data: true)"
    )


def _from_binary(tensor: InputTensor, datatype: Datatype, data: memoryview) -> NDArray[Any]:
    count = prod(tensor.shape)
    if datatype == Datatype.BYTES:
        return of_bytes(list(_elements(tensor, data, count)))
    expected = count * datatype.dtype.itemsize
    if len(data) != expected:
        shape = list(tensor.shape)
        raise _wrong(
            tensor,
            f"{datatype} of shape {shape} is {expected} bytes, and binary_data_size says {len(data)}; make them agree",
        )
    if datatype == Datatype.BOOL and np.frombuffer(data, np.uint8).max() > 1:
        raise _wrong(tensor, "a byte of BOOL is neither 0 nor 1; send one of these")
    return np.frombuffer(data, datatype.dtype)


def _elements(tensor: InputTensor, data: memoryview, count: int) -> Iterator[bytes]:
    """Yield the elements of BYTES, each of which follows its length."""
    if count * _LENGTH_BYTES > len(data):
        raise _wrong(
            tensor,
            f"{count} elements need {count * _LENGTH_BYTES} bytes for their lengths alone, and there are {len(data)}; "
            "put a 4-byte little-endian length before each element",
        )
    position = 0
    for number in range(count):
        start = position + _LENGTH_BYTES
        length = int.from_bytes(data[position:start], "little")
        position = start + length
        if position > len(data):
            raise _wrong(
                tensor,
                f"element {number} is cut off: it says {length} bytes and {max(len(data) - start, 0)} are left; put a "
                "4-byte little-endian length before each element",
            )
        yield bytes(data[start:position])
    if position != len(data):
        raise _wrong(
            tensor,
            f"{len(data) - position} bytes are left behind its {count} elements; make shape and data agree",
        )


def _flat(tensor: InputTensor, data: list[Any]) -> list[Any]:
    """Return JSON data in row-major order, whether it came nested or flat."""
    if len(tensor.shape) == 1 or not data or not isinstance(data[0], list):
        return _row(tensor, data, prod(tensor.shape))
    level = [data]
    for length in tensor.shape:
        level = [value for row in level for value in _row(tensor, row, length)]
    return level


def _row(tensor: InputTensor, row: object, length: int) -> list[Any]:
    shape = list(tensor.shape)
    if not isinstance(row, list):
        raise _wrong(tensor, f"data is not nested as its shape {shape} says; send it so, or flat")
    if len(row) != length:
        raise _wrong(
            tensor, f"a list of data has {len(row)} values, and shape {shape} says {length}; make them agree"
        )
    return row


def _from_json(tensor: InputTensor, datatype: Datatype, values: list[Any]) -> NDArray[Any]:
    types, wanted = _JSON_TYPES[datatype]
    refusal = _wrong(tensor, f"data holds what {datatype} does not; send {wanted}")
    if not set(map(type, values)) <= types:
        raise refusal
    if datatype == Datatype.BYTES:
        return of_bytes([value.encode() for value in values])
    try:
        with np.errstate(over="ignore"):
            array = np.array(values, datatype.dtype)
    except OverflowError as error:
        raise refusal from error
    if datatype == Datatype.FP32 and not np.isfinite(array).all():
        raise refusal
    return array
