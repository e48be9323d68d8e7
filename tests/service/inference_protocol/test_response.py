"""Answers of the protocol as a foreign client reads them."""

import json

import numpy as np
import pytest
from tritonclient.http import InferResult

from mutant_guard.wire.inference import InferResponse
from service.inference_protocol.datatypes import Datatype
from service.inference_protocol.response import encode
from service.inference_protocol.tensors import OutputTensor, of_bytes

TENSORS = [
    OutputTensor("logits", Datatype.FP32, np.array([[0.1, -2.5e-8], [3e38, 0]], np.float32)),
    OutputTensor("label", Datatype.INT64, np.array([7, -(2**63)])),
    OutputTensor("verdict", Datatype.BYTES, of_bytes(["zwölf".encode(), b""])),
    OutputTensor("adversarial", Datatype.BOOL, np.array([True, False])),
    OutputTensor("pixels", Datatype.UINT8, np.array([[255], [0]], np.uint8)),
]


@pytest.mark.parametrize("binary", [set(), {"logits", "verdict"}, {tensor.name for tensor in TENSORS}])
def test_a_triton_client_reads_every_tensor(binary: set[str]) -> None:
    body, length = encode("m", "v1", "mine", [(tensor, tensor.name in binary) for tensor in TENSORS])
    assert (length is None) == (not binary)
    result = InferResult.from_response_body(body, header_length=length)
    head = result.get_response()
    assert (head["model_name"], head["model_version"], head["id"]) == ("m", "v1", "mine")
    for tensor in TENSORS:
        found = result.as_numpy(tensor.name)
        assert found.shape == tensor.values.shape
        wanted = tensor.values.tolist()
        if tensor.datatype == Datatype.BYTES and tensor.name not in binary:
            wanted = [element.decode() for element in wanted]
        assert found.tolist() == wanted
    InferResponse.model_validate_json(body[:length], strict=True)


def test_an_answer_is_the_protocols_json() -> None:
    body, length = encode("m", "v1", None, [(TENSORS[1], False)])
    assert length is None
    assert json.loads(body) == {
        "model_name": "m",
        "model_version": "v1",
        "outputs": [{"name": "label", "shape": [2], "datatype": "INT64", "data": [7, -(2**63)]}],
    }


def test_the_binary_data_are_in_the_order_of_the_outputs_and_nothing_else() -> None:
    body, length = encode("m", "v1", None, [(TENSORS[3], True), (TENSORS[1], False), (TENSORS[4], True)])
    assert length is not None
    outputs = json.loads(body[:length])["outputs"]
    assert outputs[0] == {
        "name": "adversarial",
        "shape": [2],
        "datatype": "BOOL",
        "parameters": {"binary_data_size": 2},
    }
    assert "parameters" not in outputs[1]
    assert body[length:] == b"\1\0\xff\0"


def test_what_is_not_finite_is_null_in_json_and_itself_in_binary_data() -> None:
    tensor = OutputTensor("logits", Datatype.FP32, np.array([np.nan, -np.inf], np.float32))
    body, _ = encode("m", "v1", None, [(tensor, False)])
    assert json.loads(body)["outputs"][0]["data"] == [None, None]
    assert np.isnan(InferResult.from_response_body(body).as_numpy("logits")).all()
    body, length = encode("m", "v1", None, [(tensor, True)])
    found = InferResult.from_response_body(body, header_length=length).as_numpy("logits")
    assert found.tobytes() == tensor.values.tobytes()
