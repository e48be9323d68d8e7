"""The original's adversarial images of its training images, made once for all mutants of a build."""

import io
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from mutant_store.atomic import write_atomically
from mutant_store.retraining.job import CHOSEN, IMAGES, TARGETS, Job
from mutant_store.retraining.seeds import Purpose, generator_for

SHARD = 1000
"""Images made at a time, and lost at most by a build that is killed."""

_BATCH = 250
_STRIDE = 2.5
"""How far all steps together may go, in sizes: Madry et al. take as much."""


def shard_name(number: int) -> str:
    """File of a shard, in the job's folder: uint8 [n, C, H, W]."""
    return f"adversarial-{number:04}.npy"


def shards(job: Job) -> int:
    """How many there are."""
    return -(-len(np.load(job.folder / CHOSEN, mmap_mode="r")) // SHARD)


def make_shard(job: Job, number: int, _: Callable[[object], None]) -> None:
    """Make a shard of adversarial images unless it is there, and keep it.

    Projected gradient descent from a random start (Madry et al. 2018), away from the image's target, each image
    with one of the recipe's sizes; the network is in evaluation mode.
    """
    path = job.folder / shard_name(number)
    if path.exists():
        return
    chosen = job.array(CHOSEN)[number * SHARD : (number + 1) * SHARD]
    images, targets = job.array(IMAGES)[chosen], job.array(TARGETS)[chosen]
    generator = generator_for(job.seed, Purpose.adversarial, number)
    sizes = torch.tensor(job.recipe.epsilons)
    epsilons = sizes[torch.randint(len(sizes), (len(chosen),), generator=generator)]
    network = job.placed(job.original())
    parts = []
    for start in range(0, len(chosen), _BATCH):
        own = slice(start, start + _BATCH)
        parts.append(attack(job, network, images[own], targets[own], epsilons[own], generator))
    content = io.BytesIO()
    np.save(content, np.concatenate(parts))
    write_atomically(path, content.getvalue())


def attack(
    job: Job,
    network: nn.Module,
    images: Tensor,
    targets: Tensor,
    epsilons: Tensor,
    generator: torch.Generator,
) -> NDArray[np.uint8]:
    """Adversarial images uint8 [n, C, H, W], none of whose pixels is further than its ε from the original's.

    Args:
        job: the steps, and how pixels are read.
        network: on the job's device, in evaluation mode.
        images: uint8 [n, C, H, W].
        targets: int64 [n] or float32 [n, classes], what the network is led away from.
        epsilons: float32 [n], in the pixel range 0 to 1.
        generator: of the random start; on the CPU.
    """
    start = torch.rand(images.shape, generator=generator)
    size = epsilons[:, None, None, None]
    clean = (images.float() / 255).to(job.device)
    change = ((2 * start - 1) * size).to(job.device)
    size, targets = size.to(job.device), targets.to(job.device)
    stride = _STRIDE * size / job.recipe.steps
    for _ in range(job.recipe.steps):
        change.requires_grad_()
        loss = functional.cross_entropy(
            job.logits(network, (clean + change).clamp(0, 1)), targets, reduction="sum"
        )
        (gradient,) = torch.autograd.grad(loss, change)
        change = torch.clamp(change.detach() + stride * gradient.sign(), -size, size)
    # In whole levels of the pixel range, of which the size may hold a fraction.
    levels = torch.floor(255 * size + 1e-4)
    moved = torch.clamp(torch.round(255 * change), -levels, levels).cpu()
    return (images.float() + moved).clamp(0, 255).to(torch.uint8).numpy()
