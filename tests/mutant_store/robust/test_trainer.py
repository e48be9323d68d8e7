"""Robust mutants of a build: classifiers that read the original's input and answer as the trained networks do."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mutant_guard.errors import DataError, ModelError
from mutant_guard.store.choices import Layout
from mutant_store.datasets import load
from mutant_store.graph.classifier import Classifier
from mutant_store.loading.subject import Subject
from mutant_store.loading.torch_source import TorchOriginal, of_file, of_graph
from mutant_store.retraining.job import IMAGES, TARGETS
from mutant_store.robust.export import classifier_of
from mutant_store.robust.job import HELD_BACK
from mutant_store.robust.robust_network import RobustNetwork
from mutant_store.robust.settings import RobustSettings
from mutant_store.robust.trainer import RobustTrainer
from mutant_store.robust.training import load_trained
from tests.mutant_store.robust.conftest import TINY
from tests.support.demo import SilentReport
from tests.support.retraining import TRAIN

pytestmark = pytest.mark.slow

FEW = "digits@train[0:300]"
SETTINGS = RobustSettings(epochs=2, steps=2, batch_size=64)


class Notes(SilentReport):
    def __init__(self) -> None:
        super().__init__()
        self.notes: list[str] = []

    def progress(self, done: int, total: int, note: str) -> None:
        super().progress(done, total, note)
        self.notes.append(note)


def trainer(
    subject: Subject,
    original: TorchOriginal | None,
    staged: Path,
    settings: RobustSettings = SETTINGS,
    train_data: str | None = FEW,
) -> RobustTrainer:
    return RobustTrainer(subject, original, settings, train_data, staged, seed=0, jobs=1)


def operators(classifier: Classifier) -> set[str]:
    return {node.op_type for node in classifier.model.graph.node}


def test_mutants_come_in_order_and_stay_until_the_store_is_there(
    subject: Subject, digits_weights: Path, tmp_path: Path
) -> None:
    original, report = of_file(digits_weights), Notes()
    mine = trainer(subject, original, tmp_path)
    assert mine.summary == (
        "strided from scratch, pgd: 2-step attacks up to 0.11 of the pixel range, 2 epochs on 270 images"
    )
    found = dict(mine.mutants([1, 4], report))
    assert list(found) == [1, 4]
    assert report.calls == [(1, 4), (2, 4), (2, 4), (3, 4), (4, 4), (4, 4)]
    assert "robust mutant 4: 1 of 2, loss" in report.notes[3]
    assert "% of the images held back right, " in report.notes[3]
    mutant = found[4]
    assert (mutant.number, mutant.certified, mutant.network) == (4, False, "strided")
    assert (mutant.data.spec, mutant.recipe["steps"], mutant.recipe["spread"]) == (FEW, 2, [1 / 3, 1.1])
    network, accuracies = load_trained(mine.job, 4)
    assert (mutant.accuracy, mutant.robust_accuracy) == (accuracies.accuracy, accuracies.robust_accuracy)
    with torch.inference_mode():
        expected = network(torch.from_numpy(subject.probe)).numpy()
    assert np.allclose(mutant.classifier.scores(subject.probe), expected, atol=1e-3)
    curve = {"Mul", "Add", "Sub", "Div", "Clip"}
    assert operators(mutant.classifier) == {"Conv", "Relu", "Reshape", "Gemm", "Identity"} | curve
    assert not np.allclose(expected, found[1].classifier.scores(subject.probe), atol=0.1)
    again = Notes()
    (kept,) = trainer(subject, original, tmp_path).mutants([4], again)
    assert again.notes == ["epochs"]  # nothing was trained again
    assert kept[1].classifier.model == mutant.classifier.model
    folders = list(tmp_path.iterdir())
    trainer(subject, original, tmp_path, replace(SETTINGS, epochs=3))
    assert len(folders) == 1 == len(list(tmp_path.iterdir()))
    assert folders != list(tmp_path.iterdir())


@pytest.mark.parametrize("given", ["network", "graph"])
def test_training_starts_from_the_original(
    given: str, subject: Subject, digits_weights: Path, tmp_path: Path
) -> None:
    """With hardly a learning rate it stays the original, whose graph the mutant then has."""
    original = of_file(digits_weights) if given == "network" else None
    own = replace(SETTINGS, architecture="original", epochs=1, learning_rate=1e-9)
    ((_, mutant),) = trainer(subject, original, tmp_path, own).mutants([1], SilentReport())
    assert mutant.recipe["from_original"]
    assert "channels" not in mutant.recipe
    expected = subject.classifier.scores(subject.probe)
    assert np.allclose(mutant.classifier.scores(subject.probe), expected, atol=1e-3)
    assert operators(mutant.classifier) == operators(subject.classifier)


@pytest.mark.parametrize("given", ["network", "graph"])
def test_a_mutant_may_answer_for_the_mirror_image_too(
    given: str, subject: Subject, digits_weights: Path, tmp_path: Path
) -> None:
    original = of_file(digits_weights) if given == "network" else None
    own = replace(SETTINGS, architecture="original", epochs=1, learning_rate=1e-9, mirror=True)
    mine = trainer(subject, original, tmp_path, own)
    ((_, mutant),) = mine.mutants([1], SilentReport())
    assert (mine.job.flip, mutant.recipe["flip"], mutant.recipe["mirror"]) == (True, True, True)
    mirror = np.ascontiguousarray(subject.probe[..., ::-1])
    expected = (subject.classifier.scores(subject.probe) + subject.classifier.scores(mirror)) / 2
    assert np.allclose(mutant.classifier.scores(subject.probe), expected, atol=1e-3)
    robust = RobustNetwork.of(mutant, subject, 0.0)
    assert robust.relative_cost == pytest.approx(2)


def test_a_mutant_may_have_several_networks(subject: Subject, digits_weights: Path, tmp_path: Path) -> None:
    """The first is that of a mutant of one network, so that an ensemble only adds to it."""
    original, report = of_file(digits_weights), Notes()
    (_, first), (_, second) = trainer(subject, original, tmp_path).mutants([0, 1], SilentReport())
    mine = trainer(subject, original, tmp_path, replace(SETTINGS, ensemble=3))
    found = dict(mine.mutants([0, 1], report))
    assert list(found) == [0, 1]
    assert report.calls[-1] == (12, 12)
    assert "robust mutant 1, network 3 of 3: 2 of 2, loss" in report.notes[-2]
    for number, alone in enumerate((first, second)):
        members = [load_trained(mine.job, member)[0] for member in (number, number + 1000, number + 2000)]
        with torch.inference_mode():
            scores = [network(torch.from_numpy(subject.probe)).numpy() for network in members]
        assert np.allclose(found[number].classifier.scores(subject.probe), np.mean(scores, axis=0), atol=1e-3)
        assert np.allclose(alone.classifier.scores(subject.probe), scores[0], atol=1e-3)
    assert (found[0].recipe["ensemble"], first.recipe["ensemble"]) == (3, 1)
    robust = RobustNetwork.of(found[0], subject, 0.0)
    assert robust.multiply_adds == 3 * RobustNetwork.of(first, subject, 0.0).multiply_adds
    held = mine.job.array(HELD_BACK)
    pixels, labels = mine.job.array(IMAGES)[held].float() / 255, mine.job.array(TARGETS)[held]
    right = found[0].classifier.scores(mine.job.normalised(pixels).numpy()).argmax(1) == labels.numpy()
    assert found[0].accuracy == pytest.approx(right.mean(), abs=1.5 / len(held))
    assert 0 < found[0].robust_accuracy <= found[0].accuracy


@pytest.mark.parametrize("layout", ["nhwc", "flat"])
def test_the_graph_reads_what_the_originals_reads(layout: Layout, subject: Subject) -> None:
    images = subject.filter.data.images[:6]
    spec = subject.input.model_copy(update={"layout": layout})
    network = TINY.build().eval()
    classifier = classifier_of([network], subject.classifier, spec, spec.tensor(images[:4]), "logits")
    with torch.inference_mode():
        expected = network(torch.from_numpy(subject.input.tensor(images))).numpy()
    assert np.allclose(classifier.scores(spec.tensor(images)), expected, atol=1e-4)
    assert "BatchNormalization" not in operators(classifier)


def test_a_graph_that_answers_otherwise_is_refused(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    network = of_graph(subject).network
    monkeypatch.setattr(Classifier, "scores", lambda self, inputs: np.zeros((len(inputs), 10), np.float32))
    with pytest.raises(ModelError, match="a robust mutant's graph differs from its network by"):
        classifier_of([network], subject.classifier, subject.input, subject.probe, "logits")


def test_labels_may_be_the_originals(subject: Subject, digits_weights: Path, tmp_path: Path) -> None:
    """Labels of the training images are wrong on purpose: nobody reads them."""
    data = load(TRAIN)
    np.savez(tmp_path / "d.npz", x=data.images, y=np.zeros(len(data), dtype=np.int64))
    asked = replace(SETTINGS, labels="original")
    mine = trainer(subject, of_file(digits_weights), tmp_path, asked, f"npz:{tmp_path / 'd.npz'}")
    assert (mine.job.array(TARGETS).numpy() == data.labels).mean() > 0.9


@pytest.mark.parametrize(
    ("train_data", "message"),
    [
        (None, "give --train-data, such as mnist:DIR@train"),
        ("digits@train[0:50]", "holds 50 images: robust mutants take at least 100"),
        ("digits@holdout[400:600]", "share images"),
    ],
)
def test_training_images_that_do_not_fit_are_refused(
    train_data: str | None, message: str, subject: Subject, digits_weights: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message):
        trainer(subject, of_file(digits_weights), tmp_path, train_data=train_data)
    assert not list(tmp_path.iterdir())


def test_a_graph_that_cannot_be_converted_has_robust_mutants(
    subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless training starts from it, or attacks it."""

    def fail(*_: object) -> None:
        raise ModelError("no such operator")

    monkeypatch.setattr("mutant_store.networks.conversion.onnx2fx.convert", fail)
    assert trainer(subject, None, tmp_path).summary.startswith("strided from scratch")
    for needed in (replace(SETTINGS, architecture="original"), replace(SETTINGS, joint=True)):
        with pytest.raises(ModelError, match="no such operator"):
            trainer(subject, None, tmp_path, needed)
