"""Classifiers of another framework's exporter: scikit-learn's perceptron, by skl2onnx."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from mutant_guard.errors import ModelError
from mutant_store.graph.classifier import check_scores, load_classifier
from mutant_store.graph.graph import Graph
from mutant_store.graph.neurons import find_layers, neuron_count
from tests.support.foreign import Perceptron, train_perceptron


@pytest.fixture(scope="module")
def perceptron() -> Perceptron:
    return train_perceptron()


@pytest.mark.parametrize("zipmap", [True, False])
def test_its_probabilities_are_the_scores(perceptron: Perceptron, zipmap: bool, tmp_path: Path) -> None:
    path = perceptron.export(tmp_path / "m.onnx", zipmap=zipmap)
    exported = onnx.load(path).graph
    assert "ai.onnx.ml" in {node.domain for node in exported.node}
    classifier = load_classifier(path)
    assert classifier.output_name == exported.output[1].name
    assert classifier.output_kind == "probabilities"
    assert classifier.input_shape == (64,)
    assert {node.domain for node in classifier.model.graph.node} == {""}
    scores = check_scores(classifier, perceptron.images)
    expected = perceptron.model.predict_proba(perceptron.images)
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    assert (scores.argmax(1) == perceptron.model.predict(perceptron.images)).all()
    assert (scores.argmax(1) == perceptron.labels).mean() > 0.8


def test_its_neurons_are_units(perceptron: Perceptron, tmp_path: Path) -> None:
    classifier = load_classifier(perceptron.export(tmp_path / "m.onnx", zipmap=False))
    layers = find_layers(Graph(classifier.model))
    assert [layer.neurons for layer in layers] == [32, 16, 10]
    assert neuron_count(layers) == 58
    assert all(layer.uses[0].bias for layer in layers)


def test_labels_are_no_scores(perceptron: Perceptron, tmp_path: Path) -> None:
    path = perceptron.export(tmp_path / "m.onnx", zipmap=False)
    with pytest.raises(ModelError, match=r"output 'label' is not float32 \[batch, classes\]"):
        load_classifier(path, output="label")
