"""Kinds of adversarial images: each mislead the network, within what it may change."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from mutant_store.retraining.adversarial import attacked
from mutant_store.retraining.attacks import ATTACKS
from mutant_store.retraining.job import IMAGES, TARGETS, Job
from mutant_store.retraining.settings import ATTACK_WEIGHTS, RECIPES, Recipe

EPSILON = 0.2


@pytest.fixture
def job(make_job: Callable[..., Job]) -> Job:
    return make_job(made=False)


def made(job: Job, name: str) -> tuple[Tensor, Tensor, Tensor]:
    """Clean and adversarial images uint8 [80, 1, 8, 8], and labels."""
    images, targets = job.array(IMAGES)[:80], job.array(TARGETS)[:80]
    generator = torch.Generator().manual_seed(1)
    sizes = torch.full((80,), EPSILON)
    return (
        images,
        torch.from_numpy(attacked(job, job.original(), name, images, targets, sizes, generator)),
        targets,
    )


def right(job: Job, images: Tensor, targets: Tensor) -> float:
    with torch.inference_mode():
        return float((job.logits(job.original(), images.float() / 255).argmax(1) == targets).float().mean())


def test_every_attack_has_a_weight() -> None:
    assert ATTACKS.keys() == ATTACK_WEIGHTS.keys()
    for recipe in (Recipe(), *RECIPES.values()):
        assert sum(ATTACK_WEIGHTS[name] for name in recipe.attacks) == pytest.approx(1)


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_it_misleads_and_is_the_same_again(job: Job, name: str) -> None:
    clean, images, targets = made(job, name)
    assert right(job, images, targets) < right(job, clean, targets) - 0.15
    assert torch.equal(images, made(job, name)[1])


@pytest.mark.parametrize("name", ["pgd", "margin", "targeted", "single-step"])
def test_no_pixel_moves_further_than_the_size(job: Job, name: str) -> None:
    clean, images, _ = made(job, name)
    moved = (images.int() - clean.int()).abs().flatten(1).amax(1)
    assert int(moved.max()) == 51  # 0.2 of 255


@pytest.mark.parametrize("name", ["euclidean", "confident"])
def test_the_l2_size_is_kept(job: Job, name: str) -> None:
    clean, images, _ = made(job, name)
    moved = (images.float() - clean.float()).flatten(1).norm(dim=1) / 255
    assert float(moved.max()) <= 0.6 * EPSILON * 8 + 1e-3
    assert float(moved.max()) > 0.4 * EPSILON * 8


def test_a_sparse_change_is_of_few_pixels_and_ends_with_the_label(job: Job) -> None:
    clean, images, targets = made(job, "sparse")
    changed = (images != clean).flatten(1).sum(1)
    assert 0 < int(changed.max()) <= 15  # one of 64 pixels a step
    fooled = torch.tensor([right(job, images[i : i + 1], targets[i : i + 1]) == 0 for i in range(80)])
    assert float(changed[fooled].float().mean()) < 15
    values = images[images != clean]
    assert set(values.tolist()) <= {0, 255}


@pytest.mark.parametrize("name", ["euclidean", "confident"])
def test_some_l2_images_are_confident_and_some_are_not(job: Job, name: str) -> None:
    _, images, targets = made(job, name)
    with torch.inference_mode():
        logits = job.logits(job.original(), images.float() / 255)
    own = logits.gather(1, targets[:, None])[:, 0]
    lead = (logits.scatter(1, targets[:, None], -np.inf).amax(1) - own).numpy()
    assert (lead > 2).any()
    assert ((lead > 0) & (lead < 2)).any()
