"""Training of one robust mutant: what it gains, and that neither kills nor collapses change what comes out."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mutant_guard.errors import ModelError
from mutant_store.retraining.job import TARGETS
from mutant_store.robust import training as training_module
from mutant_store.robust.job import RobustJob
from mutant_store.robust.mirror import Mirrored
from mutant_store.robust.objectives import distilled
from mutant_store.robust.robustness import Robustness, measure
from mutant_store.robust.training import (
    RobustEpoch,
    RobustTraining,
    load_trained,
    robust_name,
    train_robust,
)

pytestmark = pytest.mark.slow


class KilledError(BaseException):
    pass


def trained(job: RobustJob, number: int = 0) -> dict[str, Any]:
    train_robust(job, number, lambda _: None)
    return {name: value.numpy() for name, value in load_file(job.folder / robust_name(number)).items()}


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("method", ["pgd", "fast", "trades", "ccat"])
def test_training_makes_the_original_robust(method: str, make_job: Callable[..., RobustJob]) -> None:
    steps = 1 if method == "fast" else 3
    job = make_job(mutant=None, method=method, steps=steps, epochs=4, epsilon=0.1, paired=True, power=1.0)
    before = measure(job, job.original())
    told: list[RobustEpoch] = []
    train_robust(job, 0, told.append)
    network, found = load_trained(job, 0)
    assert found == measure(job, network)
    assert found == told[-1].held_back
    assert found.robust_accuracy > before.robust_accuracy + 0.1
    assert found.accuracy > 0.8
    assert told[-1].loss < told[0].loss


def test_what_answers_like_its_teacher_has_nothing_to_learn() -> None:
    answers = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 3.0]])
    other = torch.zeros(2, 3)
    assert distilled(answers, answers + 1, 3.0) == pytest.approx(0, abs=1e-6)  # a constant says nothing
    taught = (answers / 3).softmax(1)
    expected = 9 * (taught * (taught.log() - math.log(1 / 3))).sum()
    assert distilled(other, answers, 3.0) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("paired", [True, False])
def test_a_mutant_learns_what_the_original_answers(paired: bool, make_job: Callable[..., RobustJob]) -> None:
    """Labels that are all wrong are not read: the mutant is right about as often as the original."""
    job = make_job(mutant=None, method="fast", steps=1, epochs=4, epsilon=0.1, paired=paired, distill=3.0)
    before, labels = measure(job, job.original()), np.load(job.folder / TARGETS)
    train_robust(job, 0, lambda _: None)
    taught = load_trained(job, 0)[1]
    assert taught.accuracy > 0.8
    assert taught.robust_accuracy > before.robust_accuracy + 0.1
    other = make_job(
        "other", mutant=None, method="fast", steps=1, epochs=4, epsilon=0.1, paired=paired, distill=3.0
    )
    np.save(other.folder / TARGETS, (labels + 1) % 10)
    other = replace(other, recipe=replace(other.recipe, epsilon=1e-6))  # attacks lead away from labels
    train_robust(other, 0, lambda _: None)
    network = load_trained(other, 0)[0]
    np.save(other.folder / TARGETS, labels)
    assert measure(other, network).accuracy > before.accuracy - 0.03


def test_training_tightens_bounds(make_job: Callable[..., RobustJob]) -> None:
    job = make_job(method="certified", epochs=12, epsilon=0.03, ramp=0.3, paired=True, learning_rate=0.005)
    before = measure(job, job.start(0))
    told: list[RobustEpoch] = []
    train_robust(job, 0, told.append)
    assert before.robust_accuracy < 0.05
    assert told[-1].held_back.robust_accuracy > 0.3
    attacked = measure(replace(job, recipe=replace(job.recipe, method="pgd")), load_trained(job, 0)[0])
    assert attacked.accuracy >= attacked.robust_accuracy >= told[-1].held_back.robust_accuracy


def test_what_answers_for_two_looks_is_measured_so(make_job: Callable[..., RobustJob]) -> None:
    job = make_job(mutant=None, epsilon=0.1)
    mirroring, network = replace(job, mirror=True), job.original()
    found = measure(mirroring, network)
    assert found == measure(job, Mirrored(network))
    assert found.accuracy != measure(job, network).accuracy  # a digit's mirror image is mostly no digit


def test_a_mutant_is_a_function_of_seed_and_number(make_job: Callable[..., RobustJob]) -> None:
    one, again, other = make_job("one"), make_job("again"), replace(make_job("other"), seed=1)
    assert same(trained(one), trained(again))
    assert not same(trained(one), trained(one, 1))
    assert not same(trained(one), trained(other))


@pytest.mark.parametrize("method", ["pgd", "certified"])
def test_a_run_that_is_killed_goes_on_to_the_same_mutant(
    method: str, make_job: Callable[..., RobustJob]
) -> None:
    settings: dict[str, object] = {"method": method, "paired": method == "certified", "ramp": 0.5}
    whole, broken = make_job("whole", **settings), make_job("broken", **settings)

    def kill(epoch: RobustEpoch) -> None:
        raise KilledError

    with pytest.raises(KilledError):
        train_robust(broken, 0, kill)
    told: list[RobustEpoch] = []
    train_robust(broken, 0, told.append)
    assert [epoch.epoch for epoch in told] == [2]
    assert same(trained(whole), trained(broken))
    assert [path.name for path in broken.folder.glob("robust*")] == [robust_name(0)]


@pytest.mark.parametrize("killed", [False, True])
def test_what_collapsed_goes_on_from_the_last_good_epoch_with_more_steps(
    killed: bool, make_job: Callable[..., RobustJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second epoch is made to look overfitted, as long as it takes single steps."""
    job = make_job(method="fast", steps=1, epochs=3, mutant=None)
    seen: list[tuple[int, int]] = []
    run_epoch = RobustTraining.run_epoch

    def watched(self: RobustTraining) -> RobustEpoch:
        begun = self.finished, self.steps
        seen.append(begun)
        robust = 0.1 if begun == (1, 1) else 0.6
        monkeypatch.setattr(training_module, "measure", lambda *_: Robustness(0.9, robust))
        return run_epoch(self)

    def tell(epoch: RobustEpoch) -> None:
        if epoch.collapsed and killed:
            raise KilledError

    monkeypatch.setattr(RobustTraining, "run_epoch", watched)
    if killed:
        with pytest.raises(KilledError):
            train_robust(job, 0, tell)
    train_robust(job, 0, lambda _: None)
    assert seen == [(0, 1), (1, 1), (1, 2), (2, 2)]


def test_what_comes_and_goes_at_a_high_rate_is_no_collapse(
    make_job: Callable[..., RobustJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    job, shares = make_job(method="fast", steps=1, epochs=3, mutant=None), iter([0.6, 0.25, 0.6])
    training = RobustTraining(job, 0)
    monkeypatch.setattr(training_module, "measure", lambda *_: Robustness(0.9, next(shares)))
    told = [training.run_epoch() for _ in range(3)]
    assert [(epoch.collapsed, epoch.steps) for epoch in told] == [(False, 1)] * 3


def test_nothing_collapses_that_learned_nothing_yet(make_job: Callable[..., RobustJob]) -> None:
    told: list[RobustEpoch] = []
    train_robust(make_job(method="fast", steps=1, epochs=1, learning_rate=1e-9), 0, told.append)
    assert [epoch.collapsed for epoch in told] == [False]


def test_training_that_diverges_is_said(make_job: Callable[..., RobustJob]) -> None:
    job = make_job(optimizer="sgd", learning_rate=1e30, longest_gradient=1e30)
    with pytest.raises(ModelError, match="training robust mutant 3 diverged: lower --robust-learning-rate"):
        train_robust(job, 3, lambda _: None)


def test_large_images_are_run_a_few_at_a_time(
    make_job: Callable[..., RobustJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gradient of a batch is the sum over its parts; normalisation keeps the original's statistics."""
    job = make_job(mutant=None, method="trades", steps=0, paired=True, epsilon=1e-9, epochs=1)
    whole = RobustTraining(job, 0).run_epoch()
    monkeypatch.setattr("mutant_store.retraining.job._TOGETHER", 10 * 64)
    parts = RobustTraining(job, 0)
    assert parts.run_epoch().loss == pytest.approx(whole.loss, rel=1e-2)
    assert not parts.network.training


def test_bfloat16_trains(make_job: Callable[..., RobustJob]) -> None:
    exact, half = make_job("exact", epochs=1), replace(make_job("half", epochs=1), bf16=True)
    one, other = trained(exact), trained(half)
    assert 0 < np.abs(one["0.weight"] - other["0.weight"]).mean() < 0.05
