"""Adversarial images of the original, made once for all mutants of a build.

They are made of the training images.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mutant_store.retraining.attacks import ATTACKS, Batch
from mutant_store.retraining.job import CHOSEN, IMAGES, TARGETS, Job, keep
from mutant_store.retraining.seeds import Purpose, generator_for
from mutant_store.retraining.settings import ATTACK_WEIGHTS

_BATCH = 250


def shard_name(number: int) -> str:
    """Return the name of a shard's file in the job's folder, which holds uint8 [n, C, H, W]."""
    return f"adversarial-{number:04}.npy"


def shards(job: Job) -> int:
    """Return the number of shards of a job."""
    return -(-len(np.load(job.folder / CHOSEN, mmap_mode="r")) // job.shard)


class AdversarialImages:
    """Adversarial images of a job, whose files are read as they are needed."""

    def __init__(self, job: Job) -> None:
        """Open the files; all shards must have been made."""
        self._shards = [job.array(shard_name(number)) for number in range(shards(job))]
        self._size = job.shard

    def __len__(self) -> int:
        return sum(map(len, self._shards))

    def __getitem__(self, positions: Tensor) -> Tensor:
        """Return the images uint8 [n, C, H, W] at positions int64 [n]; n is at least 1."""
        numbers = positions // self._size
        found = torch.empty((len(positions), *self._shards[0].shape[1:]), dtype=torch.uint8)
        for number in sorted(set(numbers.tolist())):
            here = numbers == number
            found[here] = self._shards[number][positions[here] % self._size]
        return found


def make_shard(job: Job, number: int, _: Callable[[object], None]) -> None:
    """Make a shard of adversarial images unless it is there, and keep it in the job's folder.

    Every image is made by one of the recipe's attacks at one of its sizes, both drawn. The network
    is in evaluation mode.

    Args:
        job: the job.
        number: number of the shard.
        _: not used.
    """
    path = job.folder / shard_name(number)
    if path.exists():
        return
    chosen = job.array(CHOSEN)[number * job.shard : (number + 1) * job.shard]
    images, targets = job.array(IMAGES)[chosen], job.array(TARGETS)[chosen]
    generator = generator_for(job.seed, Purpose.adversarial, number)
    sizes = torch.tensor(job.recipe.epsilons)
    epsilons = sizes[torch.randint(len(sizes), (len(chosen),), generator=generator)]
    names = list(job.recipe.attacks)
    shares = torch.tensor([ATTACK_WEIGHTS[name] for name in names])
    kinds = torch.multinomial(shares, len(chosen), replacement=True, generator=generator)
    network = job.placed(job.original())
    made = np.empty(images.shape, dtype=np.uint8)
    for kind, name in enumerate(names):
        places = torch.nonzero(kinds == kind).flatten()  # none, where a shard is small
        for part in torch.split(places, min(_BATCH, job.together)) if len(places) else ():
            made[part.numpy()] = attacked(
                job, network, name, images[part], targets[part], epsilons[part], generator
            )
    keep(path, made)


def attacked(
    job: Job,
    network: nn.Module,
    name: str,
    images: Tensor,
    targets: Tensor,
    epsilons: Tensor,
    generator: torch.Generator,
) -> NDArray[np.uint8]:
    """Return adversarial images uint8 [n, C, H, W], in whole levels of the pixel range.

    Args:
        job: job that gives the number of steps and the way in which pixels are read.
        network: network to attack, on the job's device, in evaluation mode.
        name: name of the attack, one of ``ATTACKS``.
        images: uint8 [n, C, H, W], n at least 1.
        targets: int64 [n] or float32 [n, classes], what the network is led away from.
        epsilons: float32 [n], sizes in the pixel range 0 to 1.
        generator: source of all draws, on the CPU.
    """
    labels = targets if targets.ndim == 1 else targets.argmax(1)
    batch = Batch(
        partial(job.logits, network),
        (images.float() / 255).to(job.device),
        labels.to(job.device),
        epsilons[:, None, None, None].to(job.device),
        job.recipe.steps,
        generator,
    )
    change = 255 * (ATTACKS[name](batch) - batch.pixels)
    # Round towards the clean image, so that a change of a fraction of a level is no larger than it
    # may be.
    moved = torch.trunc(change + 1e-3 * change.sign()).cpu()
    return (images.float() + moved).clamp(0, 255).to(torch.uint8).numpy()
