"""Training one mutant: seeded, resumed after any epoch, and kept as the vector a bank is made of."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from safetensors.torch import save_file
from torch import Tensor, nn

from mutant_guard.errors import ModelError
from mutant_store.networks.architecture import Made
from mutant_store.retraining import job as job_module
from mutant_store.retraining.job import CHOSEN, IMAGES, ORIGINAL_STATE, TARGETS, Job
from mutant_store.retraining.training import VALUES, Epoch, Training, mutant_name, train_mutant

pytestmark = pytest.mark.slow


def trained(job: Job, number: int = 0) -> np.ndarray:
    train_mutant(job, number, lambda _: None)
    return load_file(job.folder / mutant_name(number))[VALUES]


def test_a_mutant_is_a_function_of_seed_and_number(make_job: Callable[..., Job]) -> None:
    one, again = make_job("one"), make_job("again")
    assert np.array_equal(trained(one), trained(again))
    assert not np.array_equal(trained(one), trained(one, 1))


def test_a_run_that_is_killed_after_an_epoch_goes_on_to_the_same_mutant(make_job: Callable[..., Job]) -> None:
    whole, broken = make_job("whole"), make_job("broken")

    class Killed(BaseException):
        pass

    def kill(epoch: Epoch) -> None:
        raise Killed

    with pytest.raises(Killed):
        train_mutant(broken, 0, kill)
    assert not (broken.folder / mutant_name(0)).exists()
    told: list[Epoch] = []
    train_mutant(broken, 0, told.append)
    assert [epoch.epoch for epoch in told] == [2]
    assert np.array_equal(trained(whole), trained(broken))
    assert sorted(path.suffix for path in broken.folder.glob("mutant*")) == [".safetensors"]


def test_a_damaged_checkpoint_is_not_gone_on_from(make_job: Callable[..., Job]) -> None:
    job = make_job()
    path = (job.folder / mutant_name(0)).with_suffix(".checkpoint")
    path.write_bytes(b"no checkpoint")
    told: list[Epoch] = []
    train_mutant(job, 0, told.append)
    assert [epoch.epoch for epoch in told] == [1, 2]


def test_it_learns_clean_and_adversarial_images(make_job: Callable[..., Job]) -> None:
    job = make_job(epochs=12, share=0.5, learning_rate=0.05)
    training = Training(job, 0)
    accuracies = [training.run_epoch().accuracy for _ in range(12)]
    assert accuracies[-1] > max(0.8, accuracies[0])
    training.network.eval()
    with torch.inference_mode():
        answers = job.logits(training.network, job.array(IMAGES).float() / 255).argmax(1)
    assert (answers == job.array(TARGETS)).float().mean() > 0.95


@pytest.mark.parametrize("settings", [{"adversarial_share": 0.0}, {"jitter": 0.1, "label_smoothing": 0.1}])
def test_other_settings_give_other_mutants(make_job: Callable[..., Job], settings: dict[str, float]) -> None:
    assert not np.array_equal(trained(make_job("plain")), trained(make_job("other", **settings)))


def test_soft_targets_train_as_well(make_job: Callable[..., Job]) -> None:
    hard, soft = make_job("hard"), make_job("soft")
    labels = np.load(soft.folder / TARGETS)
    np.save(soft.folder / TARGETS, np.eye(10, dtype=np.float32)[labels])
    assert np.allclose(trained(hard), trained(soft), atol=1e-4)


def test_training_that_diverges_is_said(make_job: Callable[..., Job]) -> None:
    with pytest.raises(ModelError, match="training mutant 3 diverged: lower --learning-rate"):
        train_mutant(make_job(learning_rate=1e6), 3, lambda _: None)


class Normalised(nn.Module):
    """Network whose batch normalisation sees one value an image, so that it cannot be trained on one image."""

    def __init__(self) -> None:
        super().__init__()
        self.dense, self.norm, self.scores = nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Linear(8, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [N, 10]."""
        logits: Tensor = self.scores(self.norm(self.dense(images.flatten(1))))
        return logits


def test_no_batch_of_an_epoch_is_one_image(make_job: Callable[..., Job]) -> None:
    """200 images are 66 batches of 3 and one of 2; 199 would leave one image alone."""
    job = make_job(made=False, batch_size=3, adversarial_share=0.0)
    for name in (IMAGES, TARGETS):
        np.save(job.folder / name, np.load(job.folder / name)[:199])
    np.save(job.folder / CHOSEN, np.zeros(0, np.int64))
    job = replace(job, architecture=Made(f"{__name__}:Normalised"))
    save_file(Normalised().state_dict(), job.folder / ORIGINAL_STATE)
    training = Training(job, 0)
    assert training.steps == 66
    assert training.run_epoch().loss > 0


def test_large_images_are_run_a_few_at_a_time(
    make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gradient of a batch is the sum over its parts; normalisation keeps the original's statistics."""
    job = make_job(epochs=1)
    whole = Training(job, 0)
    first = whole.run_epoch()
    assert whole.network.training
    monkeypatch.setattr(job_module, "_TOGETHER", 5 * 64)
    parts = Training(job, 0)
    second = parts.run_epoch()
    assert not parts.network.training
    assert second.loss == pytest.approx(first.loss, rel=1e-3)
    for name, value in whole.network.state_dict().items():
        assert torch.allclose(value, parts.network.state_dict()[name], atol=1e-4)


def test_bfloat16_trains(make_job: Callable[..., Job], tmp_path: Path) -> None:
    job = make_job()
    shutil.copytree(job.folder, tmp_path / "half")
    half = replace(job, folder=tmp_path / "half", bf16=True)
    difference = np.abs(trained(job) - trained(half))
    assert 0 < difference.mean() < 0.05
