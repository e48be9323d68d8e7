"""A small trained network on digits, and stores of retrained mutants, made in seconds."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from mutant_guard.store.atomic import write_atomically
from mutant_guard.store.calibration_record import CalibrationSettings
from mutant_guard.store.model_card import ModelCard
from mutant_guard.store.reader import Store
from mutant_store.build import BuildSettings, build
from mutant_store.cluster.ray_cluster import RayCluster
from mutant_store.datasets import ImageData, load
from mutant_store.loading.input_spec import InputOptions
from mutant_store.loading.model_source import ModelSource
from mutant_store.loading.subject import Subject, load_subject
from mutant_store.networks import CLASSIFIERS, weights
from mutant_store.networks.inference import normalised
from mutant_store.networks.onnx_export import to_onnx
from mutant_store.pool.selection import SelectionSettings
from mutant_store.retraining.settings import RetrainSettings
from mutant_store.threads import one_thread
from tests.support.demo import SETTINGS, SilentReport

TRAIN = "digits@train"
RETRAINING = RetrainSettings(
    train_data=TRAIN, epochs=2, epsilons=(0.1, 0.2), steps=3, batch_size=32, adversarial_images=100
)
SELECTION = SelectionSettings(rate=0.05, mutants=2, seed=0, accuracy_ratio=0.8)


@pytest.fixture(autouse=True, scope="session")
def trained_on_one_thread() -> Iterator[None]:
    """As mutants are trained; threads that wait for each other cost more than they bring on networks this small."""
    with one_thread():
        yield


def subject_of(weights: Path) -> Subject:
    """Return the digits network, whose ONNX file lies beside its weights, and the holdout's images."""
    return load_subject(
        weights.with_suffix(".onnx"),
        "digits@holdout",
        InputOptions(),
        output=None,
        output_kind=None,
        classes=None,
        layers_pattern="",
        calibration=CalibrationSettings(),
    )


def train_digits_net(folder: Path, *, classes: int = 10) -> Path:
    """Train the registered network on digits for a second.

    Returns:
        Path of the weights, with the ONNX file beside them.
    """
    spec, data = CLASSIFIERS["digits-net"], load(TRAIN)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = spec.build(classes)
        inputs, labels = torch.from_numpy(normalised(spec, data.images)), torch.from_numpy(data.labels)
        optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
        for step in range(200):
            chosen = torch.randint(len(labels), (64,), generator=torch.Generator().manual_seed(step))
            optimizer.zero_grad()
            functional.cross_entropy(network(inputs[chosen]), labels[chosen]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    path = folder / "digits.safetensors"
    weights.save(path, "digits-net", network, classes)
    write_atomically(path.with_suffix(".onnx"), to_onnx(network, card(data), inputs[:2].numpy()))
    return path


def card(data: ImageData) -> ModelCard:
    """Return the card that the network's training run writes into its ONNX file."""
    spec = CLASSIFIERS["digits-net"]
    return ModelCard(
        train_data=data.portable_range,
        mean=list(spec.mean),
        std=list(spec.std),
        layout="nchw",
        classes=list(data.class_names),
    )


def settings(
    *, operator: str = "retrain", retraining: RetrainSettings = RETRAINING, **selection: object
) -> BuildSettings:
    """Return the settings for a build of two mutants, with any setting of the selection changed."""
    return replace(
        SETTINGS,
        operator=operator,
        retraining=retraining,
        selection=replace(SELECTION, **selection),  # type: ignore[arg-type]
    )


def build_retrained(
    model: Path | str,
    out: Path,
    chosen: BuildSettings | None = None,
    report: SilentReport | None = None,
    cluster: RayCluster | None = None,
) -> Store:
    """Build a store from the holdout split of the digits."""
    source = ModelSource(str(model))
    return build(
        source, "digits@holdout", out, chosen or settings(), report or SilentReport(), cluster=cluster
    )
