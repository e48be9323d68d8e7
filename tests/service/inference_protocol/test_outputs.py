"""The outputs of a model: all of one length, chosen by name, and some of them withheld."""

import json
from dataclasses import replace

import numpy as np
import pytest

from service.inference_protocol.datatypes import Datatype
from service.inference_protocol.errors import HiddenOutputError, ProtocolError
from service.inference_protocol.outputs import NO_DOUBT, ImageResult, Outputs, tensors
from service.inference_protocol.request import InferenceRequest, parse

NORMAL = ImageResult(
    scores=np.array([0.5, 2.25, -1.0], np.float32),
    label=1,
    class_name="zwölf",
    confidence=0.8,
    verdict="normal",
    undecided_because=None,
    adversarial=False,
    mutants=3,
    doubt=0.25,
    decided_by="retrain",
)
UNDECIDED = replace(
    NORMAL,
    verdict="undecided",
    undecided_because="max_mutants",
    adversarial=True,
    doubt=None,
    decided_by=None,
)
OUTPUTS = Outputs("logits", "logits", 3)
NAMES = [
    "logits",
    "label",
    "class_name",
    "confidence",
    "verdict",
    "undecided_because",
    "adversarial",
    "mutants",
    "doubt",
    "decided_by",
]
SECRET = {"logits", "confidence", "doubt"}


def asking(*outputs: str, binary: bool = False) -> InferenceRequest:
    message = {
        "inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": [""]}],
        "outputs": [{"name": name} for name in outputs],
        "parameters": {"binary_data_output": binary},
    }
    return parse(json.dumps(message).encode(), None)


def test_all_outputs_are_given_in_order_and_of_the_length_of_the_images() -> None:
    found = [tensor for tensor, _ in tensors(OUTPUTS.chosen(asking(), secrets=True), [NORMAL, UNDECIDED])]
    assert [tensor.name for tensor in found] == NAMES
    assert {tensor.name: tensor.values.shape for tensor in found} == {
        name: (2, 3) if name == "logits" else (2,) for name in NAMES
    }
    assert all(tensor.values.dtype == tensor.datatype.dtype for tensor in found)
    assert {tensor.name: tensor.values.tolist() for tensor in found if tensor.name not in SECRET} == {
        "label": [1, 1],
        "class_name": ["zwölf".encode()] * 2,
        "verdict": [b"normal", b"undecided"],
        "undecided_because": [b"", b"max_mutants"],
        "adversarial": [False, True],
        "mutants": [3, 3],
        "decided_by": [b"retrain", b""],
    }
    secrets = {tensor.name: tensor.values for tensor in found if tensor.name in SECRET}
    assert (secrets["logits"] == NORMAL.scores).all()
    assert (secrets["confidence"] == np.float32(0.8)).all()
    assert secrets["doubt"].tolist() == [0.25, NO_DOUBT]


def test_the_metadata_are_those_of_what_is_given() -> None:
    for secrets in (True, False):
        described = OUTPUTS.described(secrets=secrets)
        given = tensors(OUTPUTS.chosen(asking(), secrets=secrets), [NORMAL])
        assert [(one.name, one.datatype) for one in described] == [(t.name, t.datatype) for t, _ in given]
        for one, (tensor, _) in zip(described, given, strict=True):
            assert one.shape == [-1, *tensor.values.shape[1:]]
            assert one.parameters["description"]


@pytest.mark.parametrize("binary", [False, True])
def test_only_what_is_asked_for_is_given_in_its_order(binary: bool) -> None:
    found = OUTPUTS.chosen(asking("verdict", "logits", binary=binary), secrets=True)
    assert [(output.name, form) for output, form in found] == [("verdict", binary), ("logits", binary)]


@pytest.mark.parametrize("name", ["", "Label", "x" * 200])
def test_an_unknown_output_is_refused_with_those_there_are(name: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        OUTPUTS.chosen(asking("label", name), secrets=False)
    assert not isinstance(caught.value, HiddenOutputError)
    assert f"output '{name[:64]}' is not known to this model" in str(caught.value)
    assert all((f"'{known}'" in str(caught.value)) is (known not in SECRET) for known in NAMES)


@pytest.mark.parametrize("name", sorted(SECRET))
def test_secrets_are_left_out_and_refused_when_asked_for(name: str) -> None:
    given = OUTPUTS.chosen(asking(), secrets=False)
    assert [output.name for output, _ in given] == [known for known in NAMES if known not in SECRET]
    with pytest.raises(HiddenOutputError, match=f"output '{name}' is not given with this key"):
        OUTPUTS.chosen(asking(name), secrets=False)
    assert OUTPUTS.chosen(asking(name), secrets=True)[0][0].name == name


def test_a_classifier_whose_output_is_named_like_one_of_the_guard_gets_another_name() -> None:
    outputs = Outputs("label", "probabilities", 3)
    given = tensors(outputs.chosen(asking("classifier_label", "label"), secrets=True), [NORMAL])
    assert [(tensor.name, tensor.datatype) for tensor, _ in given] == [
        ("classifier_label", Datatype.FP32),
        ("label", Datatype.INT64),
    ]
    assert "classifier's probabilities" in outputs.described(secrets=True)[0].parameters["description"]
