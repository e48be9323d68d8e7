"""Gradients follow the preprocessing that Pillow does, and attacks are judged by what Pillow does."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from evaluation.adaptive.run import adaptive
from evaluation.adaptive.settings import Joint
from evaluation.attacks.settings import Pgd
from evaluation.imagenet.attacked import attack
from evaluation.imagenet.classifiers import PublishedClassifier, folded
from evaluation.imagenet.known_companions import KnownCompanions
from evaluation.imagenet.photographs import SIDE, Photographs
from evaluation.imagenet.pictures import PictureClassifier
from evaluation.sample_set import SampleSet
from evaluation.workspace import Workspace
from mutant_store.networks.inference import logits

Make = Callable[[str], PictureClassifier]


class Silent:
    def step(self, text: str) -> None:
        """Say nothing."""

    def progress(self, done: int, total: int, note: str) -> None:
        """Say nothing."""


@pytest.fixture
def squares(archive: Path, tmp_path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return Photographs.unpacked(archive, tmp_path / "work", 1, seed=0).squares(np.arange(4))


@pytest.mark.parametrize("name", ["lite0", "lite2"])  # smaller and larger than the pictures
def test_the_differentiable_preprocessing_is_pillows(
    squares: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], tiny_pictures: Make, name: str
) -> None:
    classifier = tiny_pictures(name)
    model = classifier.on_pictures
    assert model.classifier.shape == (SIDE, SIDE, 3)
    through = logits(model.network, model.classifier, squares)
    pillow = classifier.logits(squares)
    assert np.abs(through - pillow).max() < 0.02 * np.abs(pillow).max()


def test_attacked_pictures_are_kept_and_fool(
    squares: np.ndarray[tuple[int, ...], np.dtype[np.uint8]],
    tiny_pictures: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weights = tmp_path / "weights.pth"
    weights.write_bytes(b"weights")
    monkeypatch.setattr(PublishedClassifier, "weights", weights)
    original = tiny_pictures("lite0")
    labels = original.logits(squares).argmax(axis=1)
    clean = SampleSet("normal", squares, labels, np.arange(4))
    settings = Pgd(name="pgd", epsilon=0.1, step=0.02, iterations=5, restarts=0, samples=3, attempts=4)
    found = attack(original, settings, clean, 0, Workspace(tmp_path / "kept"), Silent())
    assert len(found.samples) == found.record.images > 0
    assert (original.logits(found.samples.images).argmax(axis=1) != found.samples.labels).all()
    assert found.record.linf_most is not None
    assert 0 < found.record.linf_most <= 0.1 + 0.5 / 255
    monkeypatch.setattr("evaluation.imagenet.attacked.attacked", None)  # a second run makes nothing
    again = attack(original, settings, clean, 0, Workspace(tmp_path / "kept"), Silent())
    assert (again.samples.images == found.samples.images).all()


def test_a_joint_attack_moves_companions_too(
    squares: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], tiny_pictures: Make
) -> None:
    original, companion = tiny_pictures("lite0"), tiny_pictures("lite1")
    known = KnownCompanions(original, [companion])
    squares = squares[:2]
    labels = original.logits(squares).argmax(axis=1)
    settings = Joint(
        epsilon=0.2, iterations=6, targets=1, mutants=1, judge_every=3, judge_mutants=1, judge="doubts"
    )
    made = adaptive(known, settings, squares, labels, 0)
    answers = original.logits(made).argmax(axis=1)
    fooled = answers != labels
    assert fooled.any()
    before, after = (
        torch.from_numpy(companion.logits(images)).softmax(1).numpy() for images in (squares, made)
    )
    rows = np.flatnonzero(fooled)
    assert after[rows, answers[rows]].mean() > before[rows, answers[rows]].mean()


@pytest.mark.slow
def test_published_weights_are_read_and_folded() -> None:
    pytest.importorskip("efficientnet_lite_pytorch")
    classifier = PublishedClassifier.named("lite0")
    images = torch.rand(2, 3, 224, 224)
    with torch.inference_mode():
        expected = classifier.network()(images)
        found = folded(classifier.network())(images)
    assert torch.allclose(found, expected, atol=1e-3)
