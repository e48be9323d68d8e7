"""The reference classifiers: the demo's, trained as make does, and LeNet from committed weights."""

import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from evaluation.train import app
from mutant_guard.bank.pool import Mutant
from mutant_guard.bank.session import open_session
from mutant_guard.store.manifest import InputSpec
from mutant_store.bank.builder import build_bank
from mutant_store.bank.export import Mutants
from mutant_store.datasets import load
from mutant_store.graph.classifier import Classifier, load_classifier
from mutant_store.graph.graph import Graph
from mutant_store.graph.neurons import find_layers, neuron_count
from mutant_store.graph.parameters import Parameters
from mutant_store.networks import CLASSIFIERS
from mutant_store.networks.inference import normalised
from mutant_store.operators import OPERATORS
from mutant_store.pool.accuracy_filter import AccuracyFilter

pytestmark = pytest.mark.slow

MODELS = Path(__file__).parents[2] / "models"
LENET, RESNET = MODELS / "mnist-lenet.onnx", MODELS / "cifar10-resnet20.onnx"


def input_spec(classifier: Classifier, side: int) -> InputSpec:
    card = classifier.card
    assert card.mean is not None
    assert card.std is not None
    return InputSpec(
        height=side, width=side, channels=1, mean=card.mean, std=card.std, layout="nchw", resize="exact"
    )


def test_the_demo_classifier_knows_the_digits(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["digits", "--out", str(tmp_path / "digits.onnx")])
    assert result.exit_code == 0, result.output
    classifier, data = load_classifier(tmp_path / "digits.onnx"), load("digits@test")
    right = classifier.scores(input_spec(classifier, 8).tensor(data.images)).argmax(axis=1) == data.labels
    assert right.mean() >= 0.97
    assert classifier.card.train_data is not None
    assert not classifier.card.train_data.overlaps(load("digits@holdout").range)


def test_the_committed_lenet_is_the_papers_and_accurate(data_dir: Path) -> None:
    classifier, data = load_classifier(LENET), load(f"mnist:{data_dir / 'mnist'}@test")
    layers = find_layers(Graph(classifier.model))
    assert [layer.neurons for layer in layers] == [6, 16, 120, 84, 10]
    assert neuron_count(layers) == 236
    scores = classifier.scores(input_spec(classifier, 28).tensor(data.images))
    assert len(data) == 10_000
    assert (scores.argmax(axis=1) == data.labels).mean() >= 0.983


def test_lenets_bank_answers_like_its_mutants_on_a_thousand_real_images(data_dir: Path) -> None:
    classifier, data = load_classifier(LENET), load(f"mnist:{data_dir / 'mnist'}@holdout[0:1000]")
    inputs = input_spec(classifier, 28).tensor(data.images)
    parameters = Parameters(Graph(classifier.model), find_layers(Graph(classifier.model)))
    drawn = [
        Mutant(name, OPERATORS[name].draw(parameters, 0.05, np.random.default_rng([0, i])))
        for i in range(5)
        for name in sorted(OPERATORS.keys() - {"retrain", "companion", "robust"})  # these are not drawn
    ]
    session = build_bank(classifier, parameters.layers, drawn, inputs[:4]).session()
    labels = session.labels(inputs, np.arange(21))
    mutants = Mutants(
        classifier.model, [layer.name for layer in parameters.layers], drawn, "images", "logits"
    )
    for index in range(21):
        alone = open_session(mutants.model(index).SerializeToString()).run(None, {"images": inputs})[0]
        assert (labels[:, index] == alone.argmax(axis=1)).all()
    original = int((labels[:, 0] == data.labels).sum())
    kept, _ = AccuracyFilter(inputs, data.labels, original, 0.9).judge(session, 20)
    assert kept.tolist() == ((labels[:, 1:] == data.labels[:, None]).sum(axis=0) >= 0.9 * original).tolist()


def test_the_committed_resnet_is_as_accurate_as_stated(data_dir: Path) -> None:
    classifier = load_classifier(RESNET)
    data = load(f"imagefolder:{data_dir / 'cifar10'}@test")
    assert neuron_count(find_layers(Graph(classifier.model))) == 794
    inputs = normalised(CLASSIFIERS["resnet20"], data.images)
    right = float((classifier.scores(inputs).argmax(axis=1) == data.labels).mean())
    stated = re.search(
        r"cifar10-resnet20\.onnx.*?([\d.]+) % of 10,000", (MODELS / "README.md").read_text("utf-8")
    )
    assert len(data) == 10_000
    assert stated is not None
    assert right == pytest.approx(float(stated.group(1)) / 100, abs=5e-4)
