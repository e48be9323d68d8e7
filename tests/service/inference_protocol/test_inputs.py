"""The two inputs of a model, and the reasons to refuse others."""

import base64
import json
from typing import Any

import numpy as np
import pytest

from mutant_guard.store.manifest import InputSpec
from service.inference_protocol.errors import ProtocolError
from service.inference_protocol.inputs import described, images
from service.inference_protocol.request import InferenceRequest, parse

SPEC = InputSpec(height=2, width=3, channels=1, mean=[0], std=[1], layout="nchw", resize="exact")
FILES = [b"\x89PNG\r\n\x1a\n\0\xff", b"second"]
PIXELS = np.arange(12, dtype=np.uint8).reshape(2, 2, 3, 1)


def asked(*inputs: dict[str, Any], rest: bytes = b"") -> InferenceRequest:
    text = json.dumps({"inputs": inputs}).encode()
    return parse(text + rest, len(text))


def image(data: list[Any], datatype: str = "BYTES", shape: list[int] | None = None) -> dict[str, Any]:
    return {"name": "image", "shape": shape or [len(data)], "datatype": datatype, "data": data}


def pixels(data: list[Any], datatype: str = "UINT8", shape: list[int] | None = None) -> dict[str, Any]:
    return {"name": "pixels", "shape": shape or [2, 2, 3, 1], "datatype": datatype, "data": data}


def test_files_in_json_are_base64() -> None:
    encoded = [base64.b64encode(file).decode() for file in FILES]
    assert images(asked(image(encoded)), SPEC, 2) == FILES


def test_files_in_binary_data_are_as_they_are() -> None:
    rest = b"".join(len(file).to_bytes(4, "little") + file for file in FILES)
    tensor = image(FILES) | {"parameters": {"binary_data_size": len(rest)}, "data": None}
    assert images(asked(tensor, rest=rest), SPEC, 2) == FILES


@pytest.mark.parametrize("data", [PIXELS.ravel().tolist(), PIXELS.tolist()], ids=["flat", "nested"])
def test_pixels_in_json_are_flat_or_nested(data: list[Any]) -> None:
    found = images(asked(pixels(data)), SPEC, 2)
    assert len(found) == 2
    assert (np.array(found) == PIXELS).all()
    assert np.array(found).dtype == np.uint8


def test_pixels_in_binary_data_are_row_major() -> None:
    tensor = pixels([]) | {"parameters": {"binary_data_size": 12}, "data": None}
    assert (np.array(images(asked(tensor, rest=PIXELS.tobytes()), SPEC, 2)) == PIXELS).all()


@pytest.mark.parametrize(
    ("inputs", "complaint"),
    [
        (
            [image(["a"]) | {"name": "input"}],
            "input 'input' is not known to this model; send 'image' (BYTES [N], image files) or 'pixels' (UINT8 "
            "[N, 2, 3, 1])",
        ),
        ([image(["aaaa"]), pixels([0] * 12)], "inputs 'image' and 'pixels' are both there; send"),
        ([pixels([0.5] * 12, "FP32")], "input 'pixels' has datatype 'FP32'; send UINT8 (0 to 255, not norm"),
        ([image([0], "UINT8")], "input 'image' has datatype 'UINT8'; send BYTES (image files)"),
        ([pixels([0] * 12, shape=[2, 1, 2, 3])], "has shape [2, 1, 2, 3]; send [N, 2, 3, 1]"),
        ([pixels([0] * 6, shape=[2, 3, 1])], "has shape [2, 3, 1]; send [N, 2, 3, 1]"),
        ([pixels([0] * 12, shape=[12])], "has shape [12]; send [N, 2, 3, 1]"),
        ([image(["aaaa"], shape=[1, 1])], "input 'image' has shape [1, 1]; send [N]"),
        ([image(["aaaa"] * 3)], "input 'image' has 3 images, more than 2; send them in several requests"),
        ([pixels([0] * 18, shape=[3, 2, 3, 1])], "input 'pixels' has 3 images, more than 2"),
        ([image(["aaaa", "a b="])], "input 'image': element 1 is no base64"),
        ([image(["aaaa\naaaa"])], "without line breaks"),
        ([image(["é"])], "is no base64"),
        ([image([1])], "input 'image': data holds what BYTES does not"),
        ([pixels([256] * 12)], "input 'pixels': data holds what UINT8 does not"),
    ],
)
def test_what_a_model_does_not_take_is_refused_with_what_it_does(
    inputs: list[dict[str, Any]], complaint: str
) -> None:
    with pytest.raises(ProtocolError) as caught:
        images(asked(*inputs), SPEC, 2)
    assert complaint in str(caught.value)


def test_the_shape_is_refused_before_anything_is_decoded() -> None:
    tensor = image(["aaaa"], shape=[2**31 - 1])
    with pytest.raises(ProtocolError, match="has 2147483647 images, more than 2"):
        images(asked(tensor), SPEC, 2)


def test_the_metadata_say_what_is_taken() -> None:
    files, raw = described(SPEC)
    assert (files.name, files.datatype, files.shape) == ("image", "BYTES", [-1])
    assert "base64 text in JSON" in files.parameters["description"]
    assert (raw.name, raw.datatype, raw.shape) == ("pixels", "UINT8", [-1, 2, 3, 1])
