"""Trained networks that a run finds again after it was killed."""

import numpy as np
import pytest
import torch

from evaluation.baselines.training import derived_seed, fingerprint, train_network
from evaluation.training.trainer import Settings, Trainer
from evaluation.workspace import Workspace
from mutant_store.datasets import ImageData
from mutant_store.networks import CLASSIFIERS

SETTINGS = Settings("member", 3, 32, 0.05, 7, False, "cpu")
DIGITS = CLASSIFIERS["digits-net"]


def test_a_killed_run_ends_like_one_that_was_not(
    train: ImageData, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train_network(DIGITS, train, SETTINGS, workspace.within("whole"), {})
    run_epoch = Trainer.run_epoch
    done: list[int] = []

    def killed(trainer: Trainer) -> None:
        if len(done) == 2:
            raise KeyboardInterrupt
        run_epoch(trainer)
        done.append(1)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "run_epoch", killed)
        with pytest.raises(KeyboardInterrupt):
            train_network(DIGITS, train, SETTINGS, workspace, {})
    assert len(list(workspace.path.glob("*.checkpoint"))) == 1
    epochs: list[int] = []

    def counted(trainer: Trainer) -> None:
        epochs.append(1)
        run_epoch(trainer)

    monkeypatch.setattr(Trainer, "run_epoch", counted)
    resumed = train_network(DIGITS, train, SETTINGS, workspace, {})
    assert len(epochs) == 1
    assert fingerprint(resumed) == fingerprint(whole)
    assert not resumed.training
    assert not list(workspace.path.glob("*.checkpoint"))
    assert fingerprint(train_network(DIGITS, train, SETTINGS, workspace, {})) == fingerprint(whole)
    assert len(epochs) == 1
    train_network(DIGITS, train, SETTINGS, workspace, {"other": 1})
    assert len(epochs) == 4


def test_numbers_and_normalisation_survive(train: ImageData, workspace: Workspace) -> None:
    colour = ImageData(
        np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3)).astype(np.uint8),
        np.arange(8) % 2,
        ("a", "b"),
        train.range,
    )
    settings = Settings("resnet", 1, 8, 0.01, 0, False, "cpu")
    made = train_network(CLASSIFIERS["resnet20"], colour, settings, workspace, {})
    kept = train_network(CLASSIFIERS["resnet20"], colour, settings, workspace, {})
    for key, value in made.state_dict().items():
        assert torch.equal(value, kept.state_dict()[key])
    assert int(made.state_dict()["norm.num_batches_tracked"]) == 1


def test_derived_seeds() -> None:
    seeds = {derived_seed(seed, number) for seed in range(5) for number in range(5)}
    assert len(seeds) == 25
    assert all(0 <= seed < 2**31 for seed in seeds)
