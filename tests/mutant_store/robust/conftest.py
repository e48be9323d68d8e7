"""A trained network on digits, and jobs of robust mutants beside it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch

from mutant_store.datasets import load
from mutant_store.loading.subject import Subject
from mutant_store.networks import weights
from mutant_store.networks.architecture import Architecture, Registered
from mutant_store.networks.strided import Strided
from mutant_store.retraining.job import IMAGES, ORIGINAL_STATE, TARGETS
from mutant_store.robust.job import HELD_BACK, RobustJob
from mutant_store.robust.settings import RobustRecipe
from tests.support.retraining import subject_of, trained_on_one_thread  # noqa: F401

RECIPE = RobustRecipe(
    epsilon=0.05,
    spread=(1.0, 1.0),
    ramp=0.0,
    steps=2,
    epochs=2,
    batch_size=32,
    learning_rate=0.001,
    warm_up=0.0,
    fall=0.4,
)
TINY = Strided((8, 8, 1), 10, channels=(4, 8), dense=16)


@pytest.fixture(scope="session")
def subject(digits_weights: Path) -> Subject:
    """The digits network and its images."""
    return subject_of(digits_weights)


@pytest.fixture
def make_job(digits_weights: Path, tmp_path: Path) -> Callable[..., RobustJob]:
    """Makes a job of 360 training and 100 held-back images, with any setting of the recipe changed."""

    def make(name: str = "job", *, mutant: Architecture | None = TINY, **changes: object) -> RobustJob:
        folder = tmp_path / name
        folder.mkdir()
        trained, data = weights.load(digits_weights), load("digits@train[0:460]")
        np.save(folder / IMAGES, np.ascontiguousarray(data.images.transpose(0, 3, 1, 2)))
        np.save(folder / TARGETS, data.labels)
        np.save(folder / HELD_BACK, np.arange(0, 300, 3))
        safetensors.torch.save_file(trained.network.state_dict(), folder / ORIGINAL_STATE)
        spec, own = trained.classifier, Registered("digits-net", 10)
        return RobustJob(
            folder=folder,
            architecture=own,
            seed=0,
            mean=spec.mean,
            std=spec.std,
            shift=0,
            flip=False,
            bf16=False,
            channels_last=False,
            output_kind="logits",
            device="cpu",
            recipe=replace(RECIPE, **changes),  # type: ignore[arg-type]
            mutant=mutant or own,
            classes=10,
            from_original=mutant is None,
        )

    return make
