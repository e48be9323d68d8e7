"""Collected images: they fool, are as many as asked for, and the work's division changes none."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from evaluation.attacks import chunk
from evaluation.attacks import collect as module
from evaluation.attacks.collect import Collected, collect
from evaluation.attacks.settings import AttackSettings, BlackBox, Fgsm, Pgd, Substitute
from evaluation.workspace import Workspace
from mutant_guard.errors import DataError, ModelError
from mutant_store.datasets import ImageData
from mutant_store.networks.inference import logits
from mutant_store.networks.weights import TrainedModel

PGD = Pgd(name="pgd 0.2", epsilon=0.2, step=0.05, iterations=5, restarts=1, samples=30, attempts=150)


class Log:
    """Reporter that remembers its calls."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.done: list[tuple[int, int, str]] = []

    def step(self, text: str) -> None:
        self.steps.append(text)

    def progress(self, done: int, total: int, note: str) -> None:
        self.done.append((done, total, note))


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SIZE", 25)
    monkeypatch.setattr(chunk, "SIZE", 25)


def run(
    weights: Path,
    attack: AttackSettings,
    clean: ImageData,
    folder: Path,
    jobs: int = 1,
    log: Log | None = None,
) -> Collected:
    sources = np.arange(len(clean), dtype=np.int64) * 3
    return collect(weights, attack, clean, sources, 7, Workspace(folder), log or Log(), jobs)


def test_what_is_kept_fools_and_is_measured(
    tiny: TrainedModel, tiny_weights: Path, clean: ImageData, tmp_path: Path
) -> None:
    log = Log()
    found = run(tiny_weights, PGD, clean, tmp_path, log=log)
    samples = found.samples
    assert samples.kind == "pgd 0.2"
    assert len(samples) == len(found.l2) == len(found.linf) == 30
    assert found.attempts % 25 == 0
    assert 30 <= found.fooled <= found.attempts < 150
    positions = samples.sources // 3
    assert (np.diff(positions) > 0).all()
    assert (samples.labels == clean.labels[positions]).all()
    assert (logits(tiny.network, tiny.classifier, samples.images).argmax(axis=1) != samples.labels).all()
    moved = (samples.images.astype(np.float64) - clean.images[positions]).reshape(30, -1) / 255
    assert np.allclose(found.linf, np.abs(moved).max(axis=1))
    assert np.allclose(found.l2, np.linalg.norm(moved, axis=1))
    assert found.linf.max() <= 0.2 + 0.5 / 255
    assert found.seconds > 0
    assert found.agreement is None
    assert log.steps == ["pgd 0.2: up to 150 attempts for 30 images that fool"]
    assert log.done[-1] == (30, 30, f"pgd 0.2, {found.attempts} attempts")


@pytest.mark.slow
def test_jobs_and_interruptions_change_nothing(
    tiny_weights: Path, clean: ImageData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = run(tiny_weights, PGD, clean, tmp_path / "alone")
    together = run(tiny_weights, PGD, clean, tmp_path / "together", jobs=2)
    assert (alone.attempts, alone.fooled) == (together.attempts, together.fooled)
    assert (alone.samples.images == together.samples.images).all()
    assert (alone.samples.sources == together.samples.sources).all()
    kept = sorted((tmp_path / "alone").iterdir())
    assert len(kept) == alone.attempts // 25
    kept[0].unlink()
    resumed = run(tiny_weights, PGD, clean, tmp_path / "alone")
    assert (alone.samples.images == resumed.samples.images).all()
    monkeypatch.setattr(chunk, "attacked", None)  # another attack would fail
    renamed = PGD.model_copy(update={"name": "other", "samples": 10})
    again = run(tiny_weights, renamed, clean, tmp_path / "alone", jobs=2)
    assert (again.samples.images == alone.samples.images[:10]).all()
    assert again.samples.kind == "other"


def test_what_never_fools_uses_its_attempts_and_no_more(
    tiny_weights: Path, clean: ImageData, tmp_path: Path
) -> None:
    harmless = Fgsm(name="harmless", epsilon=1e-4, samples=5, attempts=30)
    found = run(tiny_weights, harmless, clean, tmp_path)
    assert (found.attempts, found.fooled, len(found.samples)) == (30, 0, 0)
    assert found.samples.images.shape == (0, 8, 8, 1)
    assert found.l2.shape == found.linf.shape == (0,)


def test_a_substitute_is_trained_once_and_measured(
    tiny_weights: Path,
    clean: ImageData,
    seeds: NDArray[np.uint8],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = Substitute(architecture="papernot-a", seeds=60, rounds=3, batch_size=8)
    attack = BlackBox(name="black-box", epsilon=0.4, substitute=settings, samples=200, attempts=50)
    sources = np.arange(len(clean), dtype=np.int64)
    place = Workspace(tmp_path)
    found = collect(tiny_weights, attack, clean, sources, 0, place, Log(), 1, seeds)
    assert found.queries == 240
    assert found.agreement is not None
    assert 0.5 < found.agreement <= 1
    assert 5 <= found.fooled <= found.attempts == 50
    monkeypatch.setattr("evaluation.attacks.substitute.train", None)  # another training would fail
    stronger = attack.model_copy(update={"epsilon": 0.5})
    assert collect(tiny_weights, stronger, clean, sources, 0, place, Log(), 1, seeds).attempts == 50
    with pytest.raises(DataError, match="give it clean images to start from"):
        collect(tiny_weights, attack, clean, sources, 0, place, Log(), 1)


def test_images_the_classifier_labels_wrongly_are_refused(
    tiny_weights: Path, clean: ImageData, tmp_path: Path
) -> None:
    labels = clean.labels.copy()
    labels[28] = (labels[28] + 1) % 10
    wrong = ImageData(clean.images, labels, clean.class_names, clean.range)
    many = PGD.model_copy(update={"samples": 200})
    with pytest.raises(DataError, match="image 28 is not labelled rightly"):
        run(tiny_weights, many, wrong, tmp_path)
    with pytest.raises(DataError, match="and 3 sources"):
        collect(tiny_weights, PGD, clean, np.arange(3), 0, Workspace(tmp_path), Log(), 1)
    with pytest.raises(ModelError, match="there is no "):
        run(tmp_path / "none.safetensors", PGD, clean, tmp_path)
