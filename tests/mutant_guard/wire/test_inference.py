"""Messages of the Open Inference Protocol as they are documented."""

import pytest
from pydantic import BaseModel, ValidationError

from mutant_guard.wire import inference as messages
from mutant_guard.wire.inference import InferRequest

MODELS = [
    found
    for found in vars(messages).values()
    if isinstance(found, type) and issubclass(found, BaseModel) and found is not BaseModel
]


@pytest.mark.parametrize("model", [one for one in MODELS if not one.__name__.startswith("_")])
def test_every_message_and_every_field_says_what_it_is(model: type[BaseModel]) -> None:
    schema = model.model_json_schema()
    assert schema["description"]
    for name, field in schema["properties"].items():
        assert field.get("description") or field.get("examples") or "$ref" in field.get("items", {}), name


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"inputs": []},
        {"inputs": [{"name": "image", "shape": [], "datatype": "BYTES"}]},
        {"inputs": [{"name": "image", "shape": [0], "datatype": "BYTES"}]},
        {"inputs": [{"name": "image", "shape": [-1], "datatype": "BYTES"}]},
        {"inputs": [{"name": "image", "shape": [True], "datatype": "BYTES"}]},
        {"inputs": [{"name": "image", "shape": [1] * 9, "datatype": "BYTES"}]},
    ],
)
def test_what_the_protocol_does_not_allow_does_not_validate(request_: object) -> None:
    with pytest.raises(ValidationError):
        InferRequest.model_validate(request_, strict=True)
