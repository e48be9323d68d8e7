"""Tensors as JSON and as binary data: they survive the way there and back.

Tensors that do not fit are refused by name.
"""

import json
import struct
from math import prod
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from service.inference_protocol.datatypes import Datatype
from service.inference_protocol.errors import ProtocolError
from service.inference_protocol.tensors import (
    InputTensor,
    OutputTensor,
    decode,
    of_bytes,
    to_binary,
    to_json,
)

SHAPES = arrays.array_shapes(max_dims=4, max_side=4)
NUMBERS = [Datatype.BOOL, Datatype.UINT8, Datatype.INT64, Datatype.FP32]


def finite(datatype: Datatype) -> st.SearchStrategy[NDArray[Any]]:
    elements = {"allow_nan": False, "allow_infinity": False} if datatype == Datatype.FP32 else None
    return arrays.arrays(datatype.dtype, SHAPES, elements=elements)


@st.composite
def bytes_arrays(draw: st.DrawFn, elements: st.SearchStrategy[bytes]) -> NDArray[Any]:
    shape = draw(SHAPES)
    count = prod(shape)
    return of_bytes(draw(st.lists(elements, min_size=count, max_size=count))).reshape(shape)


def arrived(values: NDArray[Any], datatype: Datatype, data: list[Any] | memoryview) -> InputTensor:
    return InputTensor("x", datatype, values.shape, data)


def as_binary(values: NDArray[Any], datatype: Datatype) -> memoryview:
    return memoryview(to_binary(OutputTensor("x", datatype, values)))


def as_json(values: NDArray[Any], datatype: Datatype) -> list[Any]:
    text = json.dumps(to_json(OutputTensor("x", datatype, values)), allow_nan=False)
    read: list[Any] = json.loads(text)
    return read


@pytest.mark.parametrize("datatype", NUMBERS)
@given(data=st.data())
def test_numbers_come_back_from_both_forms(datatype: Datatype, data: st.DataObject) -> None:
    values = data.draw(finite(datatype))
    for form in (as_binary(values, datatype), as_json(values, datatype), values.tolist()):
        found = decode(arrived(values, datatype, form))
        assert (found.dtype, found.shape) == (datatype.dtype, values.shape)
        assert (
            found.tobytes() == values.tobytes() or (found == values).all()
        )  # −0 is 0 among JSON's whole numbers


@given(values=arrays.arrays(np.float32, SHAPES))
def test_binary_floats_come_back_bit_for_bit(values: NDArray[np.float32]) -> None:
    found = decode(arrived(values, Datatype.FP32, as_binary(values, Datatype.FP32)))
    assert found.tobytes() == values.tobytes()


@given(values=bytes_arrays(st.binary(max_size=20)))
def test_bytes_come_back_from_binary_data(values: NDArray[Any]) -> None:
    found = decode(arrived(values, Datatype.BYTES, as_binary(values, Datatype.BYTES)))
    assert found.shape == values.shape
    assert found.tolist() == values.tolist()


@given(values=bytes_arrays(st.text(max_size=20).map(str.encode)))
def test_text_comes_back_from_json_flat_and_nested(values: NDArray[Any]) -> None:
    flat = as_json(values, Datatype.BYTES)
    nested = np.array(flat, dtype=object).reshape(values.shape).tolist()
    for form in (flat, nested):
        assert decode(arrived(values, Datatype.BYTES, form)).tolist() == values.tolist()


def test_the_binary_form_is_the_extensions() -> None:
    assert bytes(as_binary(of_bytes([b"ab\0", b""]), Datatype.BYTES)) == b"\3\0\0\0ab\0\0\0\0\0"
    assert bytes(as_binary(np.array([[1.5], [-2.0]], np.float32), Datatype.FP32)) == struct.pack(
        "<2f", 1.5, -2
    )
    assert bytes(as_binary(np.array([1, -1]), Datatype.INT64)) == struct.pack("<2q", 1, -1)
    assert bytes(as_binary(np.array([True, False]), Datatype.BOOL)) == b"\1\0"
    assert bytes(as_binary(np.array([[1, 2], [3, 4]], np.uint8).T, Datatype.UINT8)) == b"\1\3\2\4"


def test_json_is_flat_and_row_major() -> None:
    assert as_json(np.array([[1, 2], [3, 4]], np.uint8).T, Datatype.UINT8) == [1, 3, 2, 4]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_null_stands_for_what_is_not_finite(value: float) -> None:
    given = as_json(np.array([0.5, value], np.float32), Datatype.FP32)
    assert given == [0.5, None]
    assert np.isnan(np.array(given, np.float32)).tolist() == [False, True]  # as NumPy reads it


def test_what_json_cannot_hold_is_refused_with_the_way_out() -> None:
    with pytest.raises(ProtocolError, match=r"output 'x' holds bytes that are not UTF-8.*as binary data"):
        to_json(OutputTensor("x", Datatype.BYTES, of_bytes([b"\xff"])))


@pytest.mark.parametrize(
    ("datatype", "shape", "data", "message"),
    [
        ("UINT8", (2, 2), bytes(3), "UINT8 of shape [2, 2] is 4 bytes, and binary_data_size says 3"),
        ("UINT8", (2, 2), bytes(5), "is 4 bytes, and binary_data_size says 5"),
        ("FP32", (2,), bytes(7), "is 8 bytes"),
        ("INT64", (2**31, 2**31, 2**31), bytes(8), "is 79228162514264337593543950336 bytes"),
        ("BOOL", (2,), b"\0\2", "neither 0 nor 1"),
        ("BYTES", (2,), bytes(7), "2 elements need 8 bytes for their lengths alone, and there are 7"),
        ("BYTES", (2**40, 2**40), bytes(8), "for their lengths alone"),
        ("BYTES", (1,), b"\5\0\0\0abcd", "element 0 is cut off: it says 5 bytes and 4 are left"),
        ("BYTES", (1,), b"\xff\xff\xff\xffabcd", "it says 4294967295 bytes and 4 are left"),
        ("BYTES", (2,), b"\4\0\0\0abcd\1\0", "element 1 is cut off: it says 1 bytes and 0 are left"),
        ("BYTES", (1,), b"\1\0\0\0abc", "2 bytes are left behind its 1 elements"),
        ("FP16", (1,), bytes(2), "datatype 'FP16' is not known here; send one of BOOL, UINT8, INT64, FP32"),
        ("", (1,), bytes(2), "datatype '' is not known here"),
        ("UINT8", (3,), [1, 2], "a list of data has 2 values, and shape [3] says 3"),
        ("UINT8", (2, 2), [1, 2, 3], "a list of data has 3 values, and shape [2, 2] says 4"),
        ("UINT8", (2, 2), [], "a list of data has 0 values"),
        ("UINT8", (2, 2), [[1, 2], [3]], "a list of data has 1 values, and shape [2, 2] says 2"),
        ("UINT8", (2, 2), [[1, 2]], "a list of data has 1 values"),
        ("UINT8", (2, 2), [[1, 2], 3], "not nested as its shape [2, 2] says"),
        ("UINT8", (2, 2, 1), [[1, 2], [3, 4]], "not nested as its shape [2, 2, 1] says"),
        ("UINT8", (1,), [[1]], "data holds what UINT8 does not"),
        ("UINT8", (1, 1), [[[1]]], "data holds what UINT8 does not"),
        ("UINT8", (1,), [256], "send whole numbers from 0 to 255"),
        ("UINT8", (1,), [-1], "send whole numbers from 0 to 255"),
        ("UINT8", (1,), [1.0], "send whole numbers from 0 to 255"),
        ("UINT8", (1,), [True], "send whole numbers from 0 to 255"),
        ("UINT8", (1,), [None], "send whole numbers from 0 to 255"),
        ("INT64", (1,), [2**63], "send whole numbers of 64 bits"),
        ("FP32", (1,), ["1"], "send numbers in the range of 32-bit floats"),
        ("FP32", (1,), [None], "send numbers in the range of 32-bit floats"),
        ("FP32", (1,), [1e39], "send numbers in the range of 32-bit floats"),
        ("FP32", (1,), [float("inf")], "send numbers in the range of 32-bit floats"),
        ("FP32", (1,), [10**400], "send numbers in the range of 32-bit floats"),
        ("BOOL", (1,), [1], "send true or false"),
        ("BYTES", (1,), [1], "send strings"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(
    datatype: str, shape: tuple[int, ...], data: bytes | list[Any], message: str
) -> None:
    held = memoryview(data) if isinstance(data, bytes) else data
    with pytest.raises(ProtocolError) as caught:
        decode(InputTensor("x", datatype, shape, held))
    assert str(caught.value).startswith("input 'x': ")
    assert message in str(caught.value)


@given(
    datatype=st.sampled_from(list(Datatype)),
    shape=st.lists(st.integers(1, 2**64), min_size=1, max_size=3).map(tuple),
    data=st.binary(max_size=64),
)
def test_no_binary_data_raises_anything_else(datatype: Datatype, shape: tuple[int, ...], data: bytes) -> None:
    try:
        found = decode(InputTensor("x", datatype, shape, memoryview(data)))
    except ProtocolError:
        return
    assert found.shape == shape


@given(data=st.lists(st.integers(0, 3).flatmap(lambda n: st.binary(min_size=n, max_size=n)), min_size=1))
def test_any_cut_through_binary_elements_is_seen(data: list[bytes]) -> None:
    whole = bytes(as_binary(of_bytes(data), Datatype.BYTES))
    for end in range(len(whole)):
        with pytest.raises(ProtocolError):
            decode(InputTensor("x", "BYTES", (len(data),), memoryview(whole)[:end]))
