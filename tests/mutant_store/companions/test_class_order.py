"""Scores of companions in the original's order of classes, held to numpy."""

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper

from mutant_guard.decision.evidence.kinds import UNIT, divergences
from mutant_guard.store.choices import OutputKind
from mutant_store.companions.class_order import in_original_order

Floats = NDArray[np.float64]
COARSE = np.array([0, 0, 1, 2, 2])
PARTIAL = np.array([0, 0, 1, -1, -1])


def classifier(classes: int, opset: int) -> ModelProto:
    """Return a companion that answers what it is given."""
    node = helper.make_node("Identity", ["images"], ["logits"], name="end")
    source, target = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", classes])
        for name in ("images", "logits")
    )
    graph = helper.make_graph([node], "companion", [source], [target])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def run(model: ModelProto, scores: Floats, original: Floats | None = None) -> Floats:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    feed = {"images": scores.astype(np.float32)}
    if original is not None:
        feed["logits"] = original.astype(np.float32)
    return np.asarray(session.run(None, feed)[0], dtype=np.float64)


def softmax(logits: Floats) -> Floats:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


@pytest.fixture
def scores() -> tuple[Floats, Floats]:
    rng = np.random.default_rng(0)
    return rng.normal(0, 3, (50, 3)), rng.normal(0, 3, (50, 5))


@pytest.mark.parametrize(("kind", "original"), [("logits", "probabilities"), ("probabilities", "logits")])
def test_a_class_for_each_changes_places_and_the_kind(kind: OutputKind, original: OutputKind) -> None:
    given = softmax(np.random.default_rng(1).normal(0, 2, (20, 3)))
    if kind == "logits":
        given = np.log(given)
    found = run(in_original_order(classifier(3, 13), kind, np.array([2, 0, 1]), original), given)
    expected = np.exp(given) if kind == "logits" else np.log(given)
    np.testing.assert_allclose(found, expected[:, [2, 0, 1]], atol=1e-5)


@pytest.mark.parametrize("opset", [11, 17, 18])
def test_a_coarser_companion_doubts_no_choice_that_it_cannot_make(
    scores: tuple[Floats, Floats], opset: int
) -> None:
    theirs, own = scores
    found = run(in_original_order(classifier(3, opset), "logits", COARSE, "logits"), theirs, own)
    wide, p = softmax(found), softmax(own)
    groups = np.eye(3)[COARSE]
    np.testing.assert_allclose(wide @ groups, softmax(theirs), atol=1e-5)
    together = np.sqrt((p @ groups) * softmax(theirs)).sum(axis=1)
    np.testing.assert_allclose(divergences(found, own) / UNIT, 1 - together, atol=1e-5)
    same_group = COARSE[found.argmax(axis=1)] == theirs.argmax(axis=1)
    assert same_group.mean() > 0.9  # what is not is near a tie of two groups, of which one is divided
    agreeing = theirs.argmax(axis=1) == (p @ groups).argmax(axis=1)
    assert 0 < agreeing.mean() < 1


def test_a_companion_is_unsure_of_classes_that_it_does_not_have(scores: tuple[Floats, Floats]) -> None:
    theirs, own = scores[0][:, :2], scores[1]
    found = softmax(run(in_original_order(classifier(2, 17), "logits", PARTIAL, "logits"), theirs, own))
    p = softmax(theirs)
    left = 1 - p.max(axis=1)
    np.testing.assert_allclose(found[:, 3:].sum(axis=1), left / (1 + left), atol=1e-5)
    np.testing.assert_allclose(found[:, 2], p[:, 1] / (1 + left), atol=1e-5)


def test_probabilities_of_the_original_divide_a_class_too(scores: tuple[Floats, Floats]) -> None:
    theirs, own = scores
    found = run(in_original_order(classifier(3, 17), "logits", COARSE, "probabilities"), theirs, softmax(own))
    np.testing.assert_allclose(found @ np.eye(3)[COARSE], softmax(theirs), atol=1e-5)
