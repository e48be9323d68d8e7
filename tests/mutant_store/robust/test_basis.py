"""Classifiers that robust mutants start from: their pixels, their classes, and their weights."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mutant_guard.errors import DataError, ModelError
from mutant_guard.store.manifest import InputSpec
from mutant_store.companions.companion import Companion
from mutant_store.datasets import load
from mutant_store.graph.classifier import load_classifier
from mutant_store.loading.subject import Subject
from mutant_store.robust.basis import Basis
from mutant_store.robust.robust_network import RobustNetwork
from mutant_store.robust.settings import RobustSettings
from mutant_store.robust.trainer import RobustTrainer
from tests.support.demo import SilentReport, train_wide_model

pytestmark = pytest.mark.slow

FEW = "digits@train[0:300]"
WIDE = InputSpec(height=12, width=12, channels=1, mean=[0.5], std=[0.5], layout="flat", resize="bilinear")
ORDER = np.argsort([3, 1, 4, 0, 5, 9, 2, 6, 8, 7])


@pytest.fixture(scope="module")
def seen(subject: Subject) -> Subject:
    """The subject, with the filter's images in the size of the wide perceptron as view 1."""
    part = subject.filter
    images = load("digits@holdout", shape=(12, 12, 1), resize="bilinear").images[: len(part.labels)]
    return replace(subject, filter=replace(part, inputs=part.inputs.with_view(images, WIDE)))


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Companion:
    """The wide perceptron, which gives probabilities of the classes in another order, as a companion."""
    model = train_wide_model(tmp_path_factory.mktemp("wide") / "wide.onnx")
    return Companion(
        name="wide",
        classifier=load_classifier(model, output_kind="probabilities"),
        input=WIDE,
        view=1,
        to_companion=ORDER,
        outputs=10,
        accuracy=0.9,
        multiply_adds=7392.0,
        relative_cost=2.0,
    )


def trainer(subject: Subject, companion: Companion, staged: Path, **changes: Any) -> RobustTrainer:
    settings = replace(RobustSettings(architecture="companion", epochs=1, steps=1, batch_size=64), **changes)
    return RobustTrainer(subject, None, settings, FEW, staged, seed=0, jobs=1, companion=companion)


def test_training_starts_from_the_companion(seen: Subject, wide: Companion, tmp_path: Path) -> None:
    """With hardly a learning rate it stays the companion, and its graph in the bank is the companion's."""
    mine = trainer(seen, wide, tmp_path, learning_rate=1e-9)
    assert mine.summary.startswith("onnx from companion wide's weights, pgd: 1-step attacks up to 0.33 ")
    assert mine.job.array("images.npy").shape == (300, 1, 12, 12)
    ((_, mutant),) = mine.mutants([0], SilentReport())
    assert (mutant.companion, mutant.recipe["from_original"]) == (wide, False)
    inputs = WIDE.tensor(seen.filter.inputs.pixels[1][:20])
    assert np.allclose(mutant.classifier.scores(inputs), wide.classifier.scores(inputs), atol=1e-4)
    network = RobustNetwork.of(mutant, seen, 0.8)
    assert network.accuracy > 0.85
    assert network.companion is not None
    assert (network.companion.tail("logits")[1], network.bounds) == (["view_1"], None)
    assert network.record(3, [replace(wide), wide]).companion == 2
    learned = trainer(seen, wide, tmp_path, epochs=2).mutants([0], SilentReport())
    ((_, other),) = learned
    assert np.abs(other.classifier.scores(inputs) - wide.classifier.scores(inputs)).max() > 0.01
    with pytest.raises(ModelError, match="a robust mutant gets"):
        RobustNetwork.of(mutant, seen, 1.2)


def test_labels_are_those_of_the_companions_classes(seen: Subject, wide: Companion) -> None:
    given = load(FEW)
    found = Basis.of(seen, None, wide).training_data(seen, FEW, "data")
    assert found.data.images.shape == (300, 12, 12, 1)
    assert np.array_equal(found.labels, ORDER[given.labels])
    groups = np.array([0, 0, 1, 1, 1, 2, 2, -1, -1, 2])
    some = Basis.of(seen, None, replace(wide, to_companion=groups, outputs=3))
    less = some.training_data(seen, FEW, "data")
    kept = groups[given.labels] >= 0
    assert np.array_equal(less.labels, groups[given.labels][kept])
    assert np.array_equal(less.data.images, found.data.images[kept])
    assert less.data.notes == (
        f"{(~kept).sum()} training images are of classes that companion wide does not know: left out",
    )
    answered = Basis.of(seen, None, wide).training_data(seen, FEW, "original").labels
    own = seen.classifier.scores(seen.input.tensor(given.images)).argmax(axis=1)
    assert np.array_equal(answered, ORDER[own])


def test_the_original_is_a_basis_as_it_is(seen: Subject) -> None:
    basis = Basis.of(seen, None, None)
    assert (basis.name, basis.shape, basis.outputs) == ("the original", (8, 8, 1), 10)
    assert basis.images.specs == (seen.input,)
    assert np.array_equal(basis.training_data(seen, FEW, "data").labels, load(FEW).labels)


def test_companions_that_cannot_be_trained_are_refused(
    seen: Subject, wide: Companion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turned = replace(wide, input=WIDE.model_copy(update={"channel_order": "bgr"}))
    with pytest.raises(ModelError, match="companion wide takes blue, green and red"):
        trainer(seen, turned, tmp_path)
    many = np.full(10, -1)
    with pytest.raises(DataError, match="holds 0 images"):
        trainer(seen, replace(wide, to_companion=many), tmp_path)
    monkeypatch.setattr("mutant_store.networks.conversion.onnx2fx.convert", lambda *_: 1 / 0)
    with pytest.raises(ModelError, match="companion wide cannot be made robust: the ONNX graph cannot"):
        trainer(seen, wide, tmp_path)


def test_a_companion_is_named_as_it_was_given() -> None:
    names = [
        ("/models/a/model.onnx", "model.onnx"),
        ("/models/b/model.onnx", "model.onnx"),
        ("c.onnx", "c.onnx"),
    ]
    for architecture, place in (
        (None, None),
        ("original", None),
        ("companions:make", None),
        ("companion:c.onnx", 2),
        ("companion:/models/b/model.onnx", 1),
    ):
        assert RobustSettings(architecture=architecture).companion(names) == place
    assert RobustSettings(architecture="companion").companion(names[:1]) == 0
    with pytest.raises(ModelError, match="there are several such companions"):
        RobustSettings(architecture="companion:model.onnx").companion(names)
