"""Attacks on the tiny classifier: each fools it within its bounds and is reproducible."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from evaluation.attacks.craft import attacked
from evaluation.attacks.settings import (
    AttackSettings,
    AutoAttack,
    BlackBox,
    CarliniWagner,
    DeepFool,
    Fgsm,
    HopSkipJump,
    Jsma,
    MinimalFgsm,
    Patch,
    Pgd,
    Square,
    Substitute,
)
from evaluation.attacks.substitute import train
from mutant_guard.errors import DataError
from mutant_store.datasets import ImageData
from mutant_store.networks.inference import logits
from mutant_store.networks.weights import TrainedModel

COUNT = 12
SHARED: dict[str, Any] = {"name": "any", "samples": 1, "attempts": 1}
BLACK_BOX = BlackBox(
    epsilon=0.3, substitute=Substitute(architecture="papernot-a", seeds=40, rounds=3), **SHARED
)
BOUNDED = [
    (Fgsm(epsilon=0.3, **SHARED), 0.5),
    (MinimalFgsm(epsilon=0.3, step=0.02, **SHARED), 0.5),
    (Pgd(epsilon=0.2, step=0.05, iterations=10, restarts=1, **SHARED), 0.7),
    (AutoAttack(epsilon=0.3, **SHARED), 0.9),
    (Square(epsilon=0.3, iterations=60, **SHARED), 0.5),
]
UNBOUNDED = [
    (Jsma(**SHARED), 0.5),
    (
        CarliniWagner(initial_const=1, search_steps=1, iterations=30, learning_rate=0.05, **SHARED),
        0.6,
    ),
    (DeepFool(**SHARED), 0.8),
    (DeepFool(labels=3, overshoot=0.2, **SHARED), 0.7),
    (HopSkipJump(iterations=2, max_eval=100, init_eval=10, **SHARED), 0.5),
]


def run(
    model: TrainedModel, attack: AttackSettings, clean: ImageData, seed: int = 5
) -> tuple[NDArray[np.uint8], NDArray[np.bool_], NDArray[np.float64]]:
    """Attack the first images.

    Returns:
        The attacked images, whether each fools, and the largest change of each as a share of the
            pixel range.
    """
    images, labels = clean.images[:COUNT], clean.labels[:COUNT]
    made = attacked(model, attack, images, labels, seed)
    assert made.dtype == np.uint8
    assert made.shape == images.shape
    fools = logits(model.network, model.classifier, made).argmax(axis=1) != labels
    moved = np.abs(made.astype(np.float64) - images).max(axis=(1, 2, 3)) / 255
    return made, fools, moved


@pytest.mark.parametrize(("attack", "share"), BOUNDED, ids=lambda value: getattr(value, "method", ""))
def test_bounded_attacks_fool_within_epsilon(
    tiny: TrainedModel, clean: ImageData, attack: Fgsm | Pgd | AutoAttack | Square, share: float
) -> None:
    _, fools, moved = run(tiny, attack, clean)
    assert fools.mean() >= share
    assert moved.max() <= attack.epsilon + 0.5 / 255 + 1e-9


@pytest.mark.parametrize(("attack", "share"), UNBOUNDED, ids=lambda value: getattr(value, "method", ""))
def test_other_attacks_fool(
    tiny: TrainedModel, clean: ImageData, attack: AttackSettings, share: float
) -> None:
    _, fools, moved = run(tiny, attack, clean)
    assert fools.mean() >= share
    assert (moved[fools] > 0).all()


@pytest.mark.parametrize("attack", [BOUNDED[2][0], BOUNDED[4][0], UNBOUNDED[0][0], UNBOUNDED[-1][0]])
def test_a_seed_decides_what_is_drawn(tiny: TrainedModel, clean: ImageData, attack: AttackSettings) -> None:
    np.random.seed(1)
    first, _, _ = run(tiny, attack, clean)
    drawn = np.random.random()
    again, _, _ = run(tiny, attack, clean)
    other, _, _ = run(tiny, attack, clean, seed=6)
    assert (first == again).all()
    assert (first != other).any()
    np.random.seed(1)
    assert drawn == np.random.random()  # the attack put numpy's generator back


def test_a_patch_fools_and_is_one_square(tiny: TrainedModel, clean: ImageData) -> None:
    attack = Patch(share=0.25, step=0.2, iterations=20, **SHARED)
    made, fools, _ = run(tiny, attack, clean)
    assert fools.mean() >= 0.5
    for image, source in zip(made, clean.images[:COUNT], strict=True):
        rows, columns, _ = np.nonzero(image != source)
        assert 0 < np.ptp(rows) < 4
        assert 0 < np.ptp(columns) < 4
    other, _, _ = run(tiny, attack, clean, seed=6)
    assert (made != other).any()


def test_a_targeted_attack_leads_to_drawn_labels(tiny: TrainedModel, clean: ImageData) -> None:
    attack = Pgd(epsilon=1.0, step=0.1, iterations=20, restarts=0, targeted=True, **SHARED)
    np.random.seed(5)
    targets = (clean.labels[:COUNT] + np.random.randint(1, 10, COUNT)) % 10
    made, fools, _ = run(tiny, attack, clean)
    assert fools.mean() >= 0.7
    assert (logits(tiny.network, tiny.classifier, made).argmax(axis=1) == targets).mean() >= 0.7


def test_jsma_changes_no_more_than_its_share_of_values(tiny: TrainedModel, clean: ImageData) -> None:
    made, _, _ = run(tiny, Jsma(gamma=0.12, **SHARED), clean)
    changed = (made != clean.images[:COUNT]).sum(axis=(1, 2, 3))
    assert changed.max() <= 0.12 * 64 + 2


def test_more_confidence_costs_more_distance(tiny: TrainedModel, clean: ImageData) -> None:
    moved = []
    for confidence in (0.0, 3.0):
        attack = CarliniWagner(
            confidence=confidence,
            initial_const=5,
            search_steps=1,
            iterations=40,
            learning_rate=0.05,
            **SHARED,
        )
        made, fools, _ = run(tiny, attack, clean)
        values = logits(tiny.network, tiny.classifier, made)[fools]
        own = np.take_along_axis(values, clean.labels[:COUNT][fools, None], axis=1)[:, 0]
        moved.append(float(np.median(values.max(axis=1) - own)))
    assert moved[1] > moved[0] + 1


def test_a_black_box_needs_its_substitute_and_moves_by_epsilon(
    tiny: TrainedModel, clean: ImageData, seeds: NDArray[np.uint8]
) -> None:
    images, labels = clean.images[:COUNT], clean.labels[:COUNT]
    with pytest.raises(DataError, match="any attacks through a substitute"):
        attacked(tiny, BLACK_BOX, images, labels, 0)
    network = train(tiny, BLACK_BOX.substitute, seeds, 0)
    made = attacked(tiny, BLACK_BOX, images, labels, 0, network)
    direct = attacked(tiny, Fgsm(epsilon=0.3, **SHARED), images, labels, 0)
    assert (made != direct).any()  # the classifier's own gradient was not used
    moved = np.abs(made.astype(np.float64) - images).max() / 255
    assert 0.25 < moved <= 0.3 + 0.5 / 255


def test_the_least_size_that_fools_is_no_larger_than_it_takes(tiny: TrainedModel, clean: ImageData) -> None:
    _, fools, moved = run(tiny, MinimalFgsm(epsilon=0.3, step=0.05, **SHARED), clean)
    _, plain, _ = run(tiny, Fgsm(epsilon=0.3, **SHARED), clean)
    assert fools.sum() >= plain.sum()
    sizes = np.rint(moved[fools] / 0.05)
    assert np.abs(moved[fools] - 0.05 * sizes).max() < 0.003  # multiples of the step, except for the rounding
    assert 1 < len(np.unique(sizes))
    for size in np.unique(sizes):
        if size > 1:  # one step less does not fool
            _, before, _ = run(tiny, Fgsm(epsilon=0.05 * (size - 1), **SHARED), clean)
            assert not (before[fools] & (sizes == size)).any()


def test_an_image_that_carlini_and_wagner_give_up_is_left_as_it_was(
    tiny: TrainedModel, clean: ImageData
) -> None:
    attack = CarliniWagner(
        confidence=1000.0, initial_const=0.1, search_steps=1, iterations=5, learning_rate=0.01, **SHARED
    )
    made, fools, _ = run(tiny, attack, clean)
    assert (made == clean.images[:COUNT]).all()
    assert not fools.any()
