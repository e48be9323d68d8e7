"""The training loop."""

from dataclasses import replace
from pathlib import Path

import torch

from evaluation.training.trainer import Settings, Step, Trainer
from mutant_store.datasets import load
from mutant_store.networks import CLASSIFIERS

SETTINGS = Settings(
    "digits-net", epochs=2, batch_size=32, learning_rate=0.05, seed=0, bf16=False, device="cpu"
)


def trainer(settings: Settings = SETTINGS, spec: str = "digits@train[0:70]") -> Trainer:
    return Trainer(CLASSIFIERS["digits-net"], load(spec), settings)


def test_every_step_is_reported_and_every_image_seen_once() -> None:
    steps: list[Step] = []
    run = trainer()
    last = run.run_epoch(steps.append)
    assert [(step.epoch, step.step) for step in steps] == [(1, 1), (1, 2), (1, 3)]
    assert steps[-1] == last
    assert round(last.accuracy * 70, 3) % 1 == 0
    assert run.run_epoch().epoch == 2


def test_seeds_and_epochs_differ_and_repeat(tmp_path: Path) -> None:
    one, same, other = trainer(), trainer(), trainer(replace(SETTINGS, seed=1))
    assert one.run_epoch() == same.run_epoch() != other.run_epoch()
    assert one.run_epoch() == same.run_epoch()


def test_random_state_outside_is_left_alone() -> None:
    before = torch.get_rng_state()
    trainer().run_epoch()
    assert torch.equal(before, torch.get_rng_state())


def test_one_step_in_all_is_enough() -> None:
    run = trainer(replace(SETTINGS, epochs=1, batch_size=100))
    assert run.steps == 1
    assert run.run_epoch().step == 1


def test_the_learning_rate_falls_by_the_last_epoch_that_is_planned() -> None:
    run, shortened = trainer(replace(SETTINGS, epochs=9)), trainer(replace(SETTINGS, epochs=9))
    run.run_epoch()
    shortened.run_epoch()
    shortened.epochs = 2
    run.run_epoch()
    shortened.run_epoch()

    def rate(run: Trainer) -> float:
        return float(run._optimizer.param_groups[0]["lr"])

    assert rate(shortened) < 0.2 * rate(run)


def test_an_epoch_that_nobody_watches_is_the_same() -> None:
    assert trainer().run_epoch() == trainer().run_epoch(lambda _: None)


def test_a_checkpoint_of_other_images_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.checkpoint"
    run = trainer()
    assert run.resume(path) == ""
    run.run_epoch()
    run.save(path)
    again, other = trainer(), trainer(spec="digits@train[1:71]")
    assert again.resume(path) == ""
    assert again.finished == 1
    assert other.resume(path) == f"{path} was made with another data"
    assert other.finished == 0
