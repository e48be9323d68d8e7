"""Whole attacks on real images.

They stay in bounds, are reproducible, and are harder for the guard than an attack that ignores it.
"""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy

from evaluation.adaptive.mutants import Mutants
from evaluation.adaptive.run import adaptive
from evaluation.adaptive.settings import (
    AttackSettings,
    Confident,
    Joint,
    LogitMatching,
    Orthogonal,
)
from evaluation.adaptive.torch_mutants import drawn
from mutant_guard.store.reader import Store
from mutant_store.datasets import ImageData, load
from mutant_store.networks.weights import TrainedModel

pytestmark = pytest.mark.slow

ALL: list[AttackSettings] = [
    Joint(epsilon=0.25, iterations=12, targets=2),
    Confident(epsilon=0.25, iterations=12, targets=2),
    LogitMatching(epsilon=0.25, iterations=12, targets=2),
    Orthogonal(epsilon=0.25, iterations=12, targets=2),
]


def measured(store: Store, images: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the labels, and the label change rates over the store's whole pool."""
    labels = store.session(threads=1).labels(store.manifest.input.tensor(images), np.arange(41))
    return labels[:, 0], (labels[:, 1:] != labels[:, :1]).mean(axis=1)


def one_step(mutants: Mutants, data: ImageData, epsilon: float) -> NDArray[np.uint8]:
    """Attack the original by FGSM."""
    images = torch.from_numpy(data.images.transpose(0, 3, 1, 2).copy()).float() / 255
    images.requires_grad_()
    loss = cross_entropy(mutants.original(images), torch.from_numpy(data.labels))
    moved = images.detach() + epsilon * torch.autograd.grad(loss, images)[0].sign()
    levels: NDArray[np.uint8] = (moved.clamp(0, 1) * 255).round().byte().numpy()
    return levels.transpose(0, 2, 3, 1)


@pytest.mark.parametrize("settings", ALL, ids=lambda settings: settings.method)
def test_attacks_fool_within_epsilon_and_repeat(
    settings: AttackSettings, mutants: Mutants, right: ImageData, store: Store
) -> None:
    done: list[int] = []
    attacked = adaptive(mutants, settings, right.images, right.labels, 3, done.append)
    assert attacked.shape == right.images.shape
    assert attacked.dtype == np.uint8
    assert np.abs(attacked.astype(int) - right.images.astype(int)).max() <= int(0.25 * 255)
    assert done == [32, 40]
    assert (measured(store, attacked)[0] != right.labels).mean() > 0.8
    again = adaptive(mutants, settings, right.images, right.labels, 3)
    other = adaptive(mutants, settings, right.images, right.labels, 4)
    assert (again == attacked).all()
    assert (other != attacked).any()


def test_own_mutants_make_images_that_the_store_hardly_doubts(
    model: TrainedModel, right: ImageData, store: Store
) -> None:
    own = drawn(model, load("digits@train").part(0, 100), 0.05, 40, seed=9)
    joint = adaptive(own, Joint(epsilon=0.25, iterations=30), right.images, right.labels, 0)
    ignorant = one_step(own, right, 0.25)
    rates = []
    for images in (joint, ignorant):
        labels, changes = measured(store, images)
        fooled = labels != right.labels
        assert fooled.sum() >= 10
        rates.append(changes[fooled].mean())
    assert rates[0] < 0.5 * rates[1]


def test_the_classifier_is_left_as_it_was(model: TrainedModel, mutants: Mutants, right: ImageData) -> None:
    before = {name: value.clone() for name, value in model.network.state_dict().items()}
    adaptive(mutants, Joint(epsilon=0.1, iterations=2), right.images[:3], right.labels[:3], 0)
    after = model.network.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
