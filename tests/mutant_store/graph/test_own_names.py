"""Class names in the files of other projects."""

import numpy as np
import pytest
from onnx import ModelProto, helper, numpy_helper, parser

from mutant_store.graph.own_names import names_of, names_of_file


def model(**notes: str) -> ModelProto:
    made = parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]> g (float[n,3] x) => (float[n,3] y) { y = Relu (x) }'
    )
    helper.set_model_props(made, notes)
    return made


@pytest.mark.parametrize(
    ("notes", "names"),
    [
        ({"names": "{0: 'cat', 1: 'dog', 2: 'it\\'s'}"}, ["cat", "dog", "it's"]),  # Ultralytics
        ({"id2label": '{"0": "cat", "2": "owl", "1": "dog"}'}, ["cat", "dog", "owl"]),  # Hugging Face
        ({"classes": '["cat", "dog"]'}, ["cat", "dog"]),
        ({"labels": "cat, dog ,owl"}, ["cat", "dog", "owl"]),
        ({"names": "[" * 10_000, "classes": "cat,dog"}, ["cat", "dog"]),
        ({"names": "cat"}, None),
        ({"names": "cat,cat"}, None),
        ({"names": "cat,,dog"}, None),
        ({"names": '{"0": "cat", "5": "dog"}'}, None),
        ({"names": "[1.5, true]"}, None),
        ({"author": "somebody"}, None),
    ],
)
def test_they_are_found_in_the_metadata(notes: dict[str, str], names: list[str] | None) -> None:
    assert names_of_file(model(**notes)) == names


def test_they_are_found_in_scikit_learns_nodes() -> None:
    made = model()
    made.graph.node.append(
        helper.make_node("ZipMap", ["y"], ["z"], domain="ai.onnx.ml", classlabels_strings=["no", "yes"])
    )
    assert names_of_file(made) == ["no", "yes"]
    made = model()
    made.graph.initializer.append(numpy_helper.from_array(np.array([3, 5, 8]), "classes"))
    made.graph.node.append(
        helper.make_node("ArrayFeatureExtractor", ["classes", "y"], ["z"], domain="ai.onnx.ml")
    )
    assert names_of_file(made) == ["3", "5", "8"]


@pytest.mark.parametrize(
    "value", [None, 3, "cat,dog", {"a": "b"}, [], ["one"], [b"a", None], {0: [1], 1: []}]
)
def test_anything_else_is_none(value: object) -> None:
    assert names_of(value) is None
