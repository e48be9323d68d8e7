from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks import probing
from benchmarks.probing import cost, false_alarms, fingerprints, searches, subjects
from benchmarks.probing.embeddings import embeddings
from benchmarks.probing.subjects import ProbedData
from evaluation.queries.clean_streams import KINDS, Pixels
from mutant_guard.store.manifest import InputSpec
from mutant_guard.store.model_card import ModelCard
from mutant_store.graph.classifier import load_classifier
from mutant_store.networks.onnx_export import to_onnx


def alternating(images: Pixels) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    return np.arange(len(images)) % 2, np.ones(len(images), np.float32)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure with few images and queries, in place of the data sets."""
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (40, 7, 7, 1), dtype=np.uint8)
    images = coarse.repeat(4, axis=1).repeat(4, axis=2)
    noisy = np.clip(images + random.integers(-9, 10, images.shape), 0, 255).astype(np.uint8)
    corner = {"corner": lambda images: images[:, 0, 0].astype(np.float32)}
    probed = ProbedData("Patches", "patches", noisy[:20], noisy[20:], alternating, embed=corner)
    monkeypatch.setattr(subjects, "subjects", lambda data, quick, say: [probed])
    monkeypatch.setattr(cost, "_QUICK", 300)
    monkeypatch.setattr(cost, "_BLOCK", 100)
    monkeypatch.setattr(cost, "_REQUESTS", 50)
    monkeypatch.setattr(false_alarms, "_STREAMS", 40)
    monkeypatch.setattr(false_alarms, "VIDEOS", {"frames": KINDS["burst, tripod"]})
    monkeypatch.setattr(fingerprints, "_PAIRS", 40)


@pytest.mark.usefixtures("small")
def test_time_size_relatives_and_false_alarms_are_measured() -> None:
    said: list[str] = []
    sections = probing.measure(Path(), True, said.append)
    titles = ["A memory of queries", "Fingerprints", "Attacks", "False alarms"]
    assert [section.title for section in sections] == titles
    assert sections[2].tables[0].rows == []  # there are no attacks on patches
    figures = {figure.name: figure for section in sections for figure in section.figures}
    assert 0 < figures["probing_28_request"].value < 1000
    assert figures["probing_patches_independent"].value == 0
    assert figures["probing_patches_near_duplicates"].met
    pairs = {row[0]: row[1:] for row in sections[1].tables[0].rows}
    assert pairs["nearest of others"][:2] == ["0.0 %", "0.0 %"]
    assert pairs["NES, noise of 2.5, two draws"][:2] == ["100 %", "0 %"]
    assert pairs["square of ±50, 5 % of the image"][1] == "100 %"
    assert sections[1].tables[0].columns[-1] == "corner"
    assert pairs["square of ±50, 5 % of the image"][4] == "100 %"  # a corner is rarely in the square
    assert pairs["blends of two images, 50 and 45 %"][4] != "100 %"
    lines = {row[0]: row[1:] for row in sections[3].tables[0].rows}
    assert lines["Patches: burst, tripod"][:2] == ["4", "11"]
    choices = {row[0]: row[1:] for row in sections[3].tables[1].rows}
    assert choices == {f"Patches: {steps}": ["0.00 / 0.00 %"] * 3 for steps in (1, 2, 3)}
    assert any("fingerprints" in line for line in said)


def brightness(images: Pixels) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Label dark and bright images."""
    means = images.reshape(len(images), -1).mean(axis=1)
    return (means > 128).astype(np.int64), (np.abs(means - 128) / 128).astype(np.float32)


def test_queries_until_attacks_are_seen_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    levels = np.where(np.arange(12) % 2, 190, 60)[:, None, None, None]
    images = np.clip(levels + random.normal(0, 20, (12, 28, 28, 1)), 0, 255).astype(np.uint8)
    monkeypatch.setattr(searches, "_BUDGET", 70)
    subject = ProbedData("MNIST", "mnist", images[:2], images, brightness, 2)
    section = searches.measure([subject], True, lambda line: None)
    rows = {row[0]: row[1:] for row in section.tables[0].rows}
    assert len(rows) == 10
    assert 5 <= float(rows["MNIST: HopSkipJump"][1]) <= 12
    assert float(rows["MNIST: Square"][1]) <= 10
    assert float(rows["MNIST: NES"][1]) > float(rows["MNIST: NES"][5])
    assert rows["MNIST: SimBA"][3] == "100 %"
    (figure,) = section.figures
    assert (figure.name, figure.at_most, figure.target) == ("probing_mnist_seen", True, 10)
    assert 3 <= figure.value <= 70


def test_embeddings_keep_the_distances_of_what_the_classifier_computes() -> None:
    torch.manual_seed(0)
    features = nn.Sequential(nn.Flatten(), nn.Linear(64, 40), nn.ReLU(), nn.Linear(40, 300), nn.ReLU())
    network = nn.Sequential(*features, nn.Linear(300, 3)).eval()
    card = ModelCard(mean=[0.0], std=[1.0])
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 1), dtype=np.uint8)
    tensor = images.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)
    classifier = load_classifier(onnx.ModelProto.FromString(to_onnx(network, card, tensor)))
    form = InputSpec(height=8, width=8, channels=1, mean=[0.0], std=[1.0], layout="nchw", resize="exact")
    found = embeddings(classifier, form)
    assert list(found) == ["middle layer", "last features"]
    for name, inner in (("middle layer", features[:4]), ("last features", features)):
        with torch.no_grad():
            one, two = inner(torch.from_numpy(tensor)).numpy()
        projected = found[name](images)
        assert projected.shape == (2, 128)
        length, exact = np.linalg.norm(projected[0] - projected[1]), np.linalg.norm(one - two)
        assert 0.75 * exact < length < 1.25 * exact
