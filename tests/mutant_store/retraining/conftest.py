"""A trained network on digits, its store of retrained mutants, and a job on it without a build."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch

from mutant_guard.store.reader import Store, load_store
from mutant_store.datasets import load
from mutant_store.networks import weights
from mutant_store.networks.architecture import Registered
from mutant_store.retraining.adversarial import make_shard, shards
from mutant_store.retraining.job import CHOSEN, IMAGES, ORIGINAL_MODEL, ORIGINAL_STATE, TARGETS, Job
from mutant_store.retraining.settings import Recipe
from tests.support.kept import kept, void
from tests.support.retraining import build_retrained, trained_on_one_thread  # noqa: F401

RECIPE = Recipe(epochs=2, adversarial_images=100, epsilons=(0.1, 0.2), steps=3, batch_size=32)


@pytest.fixture(scope="session")
def retrained_store(digits_weights: Path) -> Store:
    """A store of two retrained mutants, made in this process; not to be changed by tests."""
    folder = kept("two-retrained", lambda folder: void(build_retrained(digits_weights, folder / "digits")))
    return load_store(folder / "digits")


@pytest.fixture
def make_job(digits_weights: Path, tmp_path: Path) -> Callable[..., Job]:
    """Makes a job of 200 training images, with any setting of the recipe changed; adversarial images are there."""

    def make(name: str = "job", *, made: bool = True, **changes: object) -> Job:
        from mutant_store.graph.classifier import load_classifier

        folder = tmp_path / name
        folder.mkdir()
        trained, data = weights.load(digits_weights), load("digits@train[0:200]")
        np.save(folder / IMAGES, np.ascontiguousarray(data.images.transpose(0, 3, 1, 2)))
        np.save(folder / TARGETS, data.labels)
        np.save(folder / CHOSEN, np.arange(0, 200, 2))
        safetensors.torch.save_file(trained.network.state_dict(), folder / ORIGINAL_STATE)
        model = load_classifier(digits_weights.with_suffix(".onnx")).model
        (folder / ORIGINAL_MODEL).write_bytes(model.SerializeToString())
        spec = trained.classifier
        job = Job(
            folder=folder,
            architecture=Registered("digits-net", 10),
            recipe=replace(RECIPE, **changes),  # type: ignore[arg-type]
            seed=0,
            mean=spec.mean,
            std=spec.std,
            shift=spec.shift,
            flip=spec.flip,
            bf16=False,
            channels_last=False,
            output_kind="logits",
            device="cpu",
        )
        for shard in range(shards(job) if made else 0):
            make_shard(job, shard, lambda _: None)
        return job

    return make
