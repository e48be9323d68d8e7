"""Requests as they are read: from a foreign client, and from a hostile one."""

import json
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput

from service.inference_protocol.errors import ProtocolError
from service.inference_protocol.request import MAX_JSON_VALUES, RequestedOutput, parse
from service.inference_protocol.tensors import decode

FILES = np.array([b"\x89PNG\0\xff", b""], dtype=object)
PIXELS = np.arange(12, dtype=np.uint8).reshape(1, 3, 4, 1)


def triton_input(name: str, values: Any, datatype: str, *, binary: bool = True) -> InferInput:
    tensor = InferInput(name, list(values.shape), datatype)
    tensor.set_data_from_numpy(values, binary_data=binary)
    return tensor


def minimal(**changes: object) -> dict[str, Any]:
    return {"inputs": [{"name": "x", "shape": [1], "datatype": "UINT8", "data": [1]} | changes]}


def body_of(message: object) -> bytes:
    return json.dumps(message).encode()


def test_a_triton_client_is_read_with_binary_tensors() -> None:
    body, length = InferenceServerClient.generate_request_body(
        [triton_input("image", FILES, "BYTES"), triton_input("pixels", PIXELS, "UINT8")],
        request_id="mine",
        timeout=1_500_000,
        priority=1,
        parameters={"custom": "kept"},
    )
    request = parse(body, length)
    assert (request.id, request.seconds, request.binary_output) == ("mine", 1.5, True)
    assert request.parameters["custom"] == "kept"
    assert request.outputs is None
    assert list(request.inputs) == ["image", "pixels"]
    assert all(tensor.is_binary for tensor in request.inputs.values())
    assert decode(request.inputs["image"]).tolist() == FILES.tolist()
    assert (decode(request.inputs["pixels"]) == PIXELS).all()


def test_a_triton_client_is_read_with_json_tensors_and_with_both() -> None:
    text = np.array([b"abc"], dtype=object)
    for binary in (False, True):
        body, length = InferenceServerClient.generate_request_body(
            [
                triton_input("pixels", PIXELS, "UINT8", binary=False),
                triton_input("x", text, "BYTES", binary=binary),
            ]
        )
        request = parse(body, length)
        assert (decode(request.inputs["pixels"]) == PIXELS).all()
        assert decode(request.inputs["x"]).tolist() == [b"abc"]
        assert request.inputs["x"].is_binary is binary


def test_the_outputs_a_triton_client_asks_for_are_read() -> None:
    body, length = InferenceServerClient.generate_request_body(
        [triton_input("image", FILES, "BYTES")],
        outputs=[InferRequestedOutput("label"), InferRequestedOutput("doubt", binary_data=False)],
    )
    request = parse(body, length)
    assert request.outputs == (RequestedOutput("label", True), RequestedOutput("doubt", False))
    assert not request.binary_output


def test_an_output_that_does_not_say_follows_the_request() -> None:
    message = minimal() | {
        "outputs": [{"name": "a"}, {"name": "b", "parameters": {"binary_data": False}}],
        "parameters": {"binary_data_output": True},
    }
    assert parse(body_of(message), None).outputs == (RequestedOutput("a", True), RequestedOutput("b", False))


@pytest.mark.parametrize(
    ("timeout", "seconds"), [(0, None), (1, 1e-6), (2_000_000, 2.0), (10**4000, 2**62 * 1e-6)]
)
def test_a_timeout_is_in_microseconds(timeout: int, seconds: float | None) -> None:
    assert parse(body_of(minimal() | {"parameters": {"timeout": timeout}}), None).seconds == seconds


def test_what_may_be_left_out_or_null_is() -> None:
    message = minimal(parameters=None) | {"id": None, "parameters": None, "outputs": None}
    request = parse(body_of(message), None)
    assert (request.id, request.outputs, request.seconds, request.binary_output) == (None, None, None, False)
    assert parse(body_of(minimal() | {"outputs": []}), None).outputs is None


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        ([], "the request: "),
        ({}, "inputs: Field required"),
        ({"inputs": []}, "inputs: List should have at least 1 item"),
        ({"inputs": [1]}, "input 0: "),
        ({"inputs": minimal()["inputs"] * 17}, "inputs: List should have at most 16 items"),
        (minimal() | {"outputs": [{"name": "a"}] * 65}, "outputs: List should have at most 64 items"),
        ({"inputs": {"name": "x"}}, "inputs: "),
        (minimal(shape=[1.5]), "input 'x' shape 0: Input should be a valid integer"),
        (minimal(shape=[0]), "input 'x' shape 0: Input should be greater than or equal to 1"),
        (minimal(shape=[-4]), "input 'x' shape 0: Input should be greater than or equal to 1"),
        (
            minimal(shape=[10**4000] * 8),
            "input 'x' shape 0: Input should be less than or equal to 2147483647",
        ),
        (minimal(shape=["1"]), "input 'x' shape 0: Input should be a valid integer"),
        (minimal(name=7), "input 0 name: Input should be a valid string"),
        (minimal(data="1"), "input 'x' data: Input should be a valid list"),
        (minimal(data=None), "input 'x' has no data; give it data or binary_data_size"),
        (minimal(parameters={"binary_data_size": 1}), "input 'x' has both data and binary_data_size"),
        (minimal(data=None, parameters={"binary_data_size": 1}), "says 1 bytes and 0 are left behind"),
        (minimal(data=None, parameters={"binary_data_size": -1}), "a whole number"),
        (minimal(data=None, parameters={"binary_data_size": 0.0}), "a whole number"),
        (minimal(data=None, parameters={"binary_data_size": True}), "a whole number"),
        (minimal(data=None, parameters={"shared_memory_region": "r"}), "shared memory is not read here"),
        ({"inputs": minimal()["inputs"] * 2}, "input 'x' is there 2 times"),
        (minimal() | {"outputs": [{"name": "a"}, {"name": "a"}]}, "output 'a' is there 2 times"),
        (minimal() | {"outputs": [{}]}, "output 0 name: Field required"),
        (
            minimal() | {"outputs": [{"name": "a", "parameters": {"classification": 3}}]},
            "output 'a': the classification extension is not known here; ask for the outputs 'label' and",
        ),
        (
            minimal() | {"outputs": [{"name": "a", "parameters": {"shared_memory_region": "r"}}]},
            "output 'a': shared memory is not written here",
        ),
        (
            minimal() | {"outputs": [{"name": "a", "parameters": {"binary_data": 1}}]},
            "output 'a': binary_data is true or false",
        ),
        (minimal() | {"parameters": {"binary_data_output": "yes"}}, "binary_data_output is true or false"),
        (minimal() | {"parameters": {"timeout": "1"}}, "timeout is a whole number of microseconds"),
        (minimal() | {"parameters": {"timeout": -1}}, "timeout is a whole number of microseconds"),
        (minimal() | {"parameters": {"timeout": True}}, "timeout is a whole number of microseconds"),
        (minimal() | {"parameters": []}, "parameters: Input should be a valid dictionary"),
        (minimal() | {"id": 7}, "id: Input should be a valid string"),
    ],
)
def test_what_the_protocol_does_not_say_is_refused_by_name(message: object, complaint: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse(body_of(message), None)
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[NaN]}]}',
        b'{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[Infinity]}]}',
        b'{"inputs":[{"name":"\\ud800","shape":[1],"datatype":"FP32","data":[1]}]}',
        b'{"id":' + b"9" * 10_000 + b"}",
    ],
    ids=["empty", "cut", "no UTF-8", "deep", "NaN", "infinity", "half a character", "long number"],
)
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(ProtocolError, match="the request is no JSON"):
        parse(body, None)


def test_a_number_too_large_for_a_double_is_refused_by_its_tensor() -> None:
    body = body_of(minimal(datatype="FP32")).replace(b"[1]}", b"[1e999]}")
    with pytest.raises(ProtocolError, match="input 'x': data holds what FP32 does not"):
        decode(parse(body, None).inputs["x"])


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (
            minimal() | {"output": [{"name": "label"}]},
            "the request: 'output' is not known; did you mean 'outputs'?",
        ),
        (
            minimal() | {"Parameters": {}},
            "the request: 'Parameters' is not known; did you mean 'parameters'?",
        ),
        (
            minimal() | {"parameters": {"time_out": 5}},
            "parameters: 'time_out' is not known; did you mean 'timeout'?",
        ),
        (minimal() | {"parameters": {"timeout_ms": 5}}, "did you mean 'timeout'?"),
        (minimal() | {"parameters": {"binary_data_outputs": True}}, "did you mean 'binary_data_output'?"),
        (
            minimal(parameters={"binary_size": 1}),
            "input 'x': 'binary_size' is not known; did you mean 'binary_data_size'?",
        ),
        (minimal(parameter={}), "input 'x': 'parameter' is not known; did you mean 'parameters'?"),
        (
            minimal() | {"outputs": [{"name": "label", "parameters": {"binarydata": True}}]},
            "output 'label': 'binarydata' is not known; did you mean 'binary_data'?",
        ),
        (minimal() | {"outputs": [{"name": "label", "params": {}}]}, "did you mean 'parameters'?"),
    ],
)
def test_a_misspelt_name_is_refused_with_the_nearest(message: object, said: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse(body_of(message), None)
    assert said in str(caught.value)


def test_names_of_other_servers_are_passed_over() -> None:
    """Triton, KServe and MLServer have fields and parameters of their own."""
    message = minimal(parameters={"content_type": "np", "headers": {}}) | {
        "model_name": "x",
        "model_version": "1",
        "raw_input_contents": [],
        "parameters": {
            "sequence_id": 1,
            "sequence_start": True,
            "sequence_end": True,
            "priority": 0,
            "headers": {},
        },
        "outputs": [
            {"name": "label", "parameters": {"content_type": "np"}, "datatype": "INT64", "shape": [1]}
        ],
    }
    assert parse(body_of(message), None).outputs == (RequestedOutput("label", binary=False),)


def test_many_unknown_names_cost_little() -> None:
    names = {f"timeouu{number}": 1 for number in range(20_000)}
    with pytest.raises(ProtocolError, match="did you mean 'timeout'"):
        parse(body_of(minimal() | {"parameters": names}), None)
    far = {f"{'z' * 50}{number}": 1 for number in range(20_000)}
    started = time.process_time()
    parse(body_of(minimal() | far | {"parameters": far}), None)
    assert time.process_time() - started < 2


@pytest.mark.parametrize("length", [-1, 10_000])
def test_a_length_that_is_not_in_the_body_is_refused(length: int) -> None:
    with pytest.raises(ProtocolError, match="Inference-Header-Content-Length says"):
        parse(body_of(minimal()), length)


def test_bytes_that_belong_to_no_input_are_refused() -> None:
    text = body_of(minimal(data=None, parameters={"binary_data_size": 1}))
    assert decode(parse(text + b"7", len(text)).inputs["x"]).tolist() == [ord("7")]
    with pytest.raises(ProtocolError, match="2 bytes of the body belong to no input"):
        parse(text + b"7ab", len(text))
    with pytest.raises(ProtocolError, match="the request is no JSON"):  # without the header for binary data
        parse(text + b"7", None)


@pytest.mark.parametrize(
    ("message", "fault"),
    [
        ({"inputs": [[]] * 1000}, "input 0: "),
        (minimal(shape=[0] * 1000), "input 'x' shape 0: "),
        (minimal() | {"outputs": [{}] * 1000}, "output 0 name: "),
    ],
)
def test_a_request_full_of_faults_is_left_at_the_first(message: object, fault: str) -> None:
    """A description of every fault in a large body would take seconds."""
    with pytest.raises(ProtocolError) as caught:
        parse(body_of(message), None)
    assert str(caught.value).startswith(fault)
    assert isinstance(caught.value.__cause__, ValidationError)
    assert caught.value.__cause__.error_count() == 1


@pytest.mark.parametrize("piece", [b"1,", b"[],", b"{},", b'{"a":1},', b'"a":1,'])
def test_json_of_too_many_values_is_refused_before_it_is_read(
    piece: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("service.inference_protocol.request.from_json")
    body = b'{"inputs":[' + piece * MAX_JSON_VALUES + b"1]}"
    with pytest.raises(ProtocolError, match=f"more than {MAX_JSON_VALUES:,} values; send tensors as binary"):
        parse(body, None)


def test_the_pixels_of_a_large_image_fit_in_json() -> None:
    values = [0] * (224 * 224 * 3)
    request = parse(body_of(minimal(shape=[1, 224, 224, 3], data=values)), None)
    assert decode(request.inputs["x"]).shape == (1, 224, 224, 3)


@given(body=st.binary(max_size=200), length=st.none() | st.integers(-5, 250))
def test_no_bytes_raise_anything_else(body: bytes, length: int | None) -> None:
    with pytest.raises(ProtocolError):  # none of these is a request
        parse(body, length)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "shape", "datatype", "data", "parameters", "binary_data_size"]), inner
        )
    ),
    max_leaves=8,
)


def entry(**values: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    """Draw an object that is nearly right: any value may be anything, and any may be missing."""
    return JSON | st.fixed_dictionaries({}, optional={name: one | JSON for name, one in values.items()})


TENSOR = entry(
    name=st.sampled_from(["image", "pixels"]),
    shape=st.lists(st.integers(-1, 3), max_size=4),
    datatype=st.sampled_from(["BYTES", "UINT8", "FP32", "FP16"]),
    parameters=entry(
        binary_data_size=st.integers(-1, 20),
        binary_data=st.booleans(),
        shared_memory_region=JSON,
        classification=st.integers(),
    ),
    data=st.lists(st.integers(-1, 256), max_size=4),
)
REQUEST = entry(
    id=st.text(max_size=4),
    inputs=st.lists(TENSOR, max_size=2),
    outputs=st.lists(TENSOR, max_size=2),
    parameters=entry(timeout=st.integers(), binary_data_output=st.booleans()),
)


@given(message=REQUEST, rest=st.binary(max_size=20))
def test_no_json_raises_anything_else(message: object, rest: bytes) -> None:
    text = body_of(message)
    try:
        request = parse(text + rest, len(text))
    except ProtocolError:
        return
    for tensor in request.inputs.values():
        try:
            assert decode(tensor).shape == tensor.shape
        except ProtocolError as error:
            assert str(error).startswith(f"input '{tensor.name}': ")
