"""Accuracy of a mutant in training on held-back images, clean and at worst."""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from mutant_store.retraining.attacks import Batch, pgd
from mutant_store.retraining.job import IMAGES, TARGETS
from mutant_store.retraining.seeds import Purpose, generator_for
from mutant_store.robust.adversary import backtracking, other_confidence
from mutant_store.robust.job import HELD_BACK, RobustJob
from mutant_store.robust.mirror import Mirrored
from mutant_store.robust.objectives import box_logits, shown

_STEPS = 10
_TOGETHER = 256
_HALF = 0.5


@dataclass(frozen=True)
class Robustness:
    """Shares of the held-back images.

    Attributes:
        accuracy: share of the clean images that are right.
        robust_accuracy: share that stays right under ten steps of projected gradient descent at the
            recipe's ε; in ``certified`` the share that is shown to stay right whatever the change;
            in ``ccat``, whose answers are to turn uniform, the share for which no other class gets
            a probability of one half.
    """

    accuracy: float
    robust_accuracy: float


def measure(job: RobustJob, network: nn.Module) -> Robustness:
    """Measure a network, as it answers in the bank, on the job's held-back images.

    It is left in evaluation mode.

    Args:
        job: job of the training.
        network: network on the job's device.
    """
    network.eval()
    heard = Mirrored(network) if job.mirror else network
    held = job.array(HELD_BACK)
    generator = generator_for(job.seed, Purpose.robustness)
    right = kept = 0
    for rows in torch.split(held, min(_TOGETHER, job.together)):
        pixels = (job.array(IMAGES)[rows].float() / 255).to(job.device)
        labels = job.array(TARGETS)[rows].to(job.device)
        with torch.no_grad():
            right += int((job.answers(heard, pixels).argmax(1) == labels).sum())
        kept += int(_kept(job, heard, pixels, labels, generator).sum())
    return Robustness(right / len(held), kept / len(held))


def _kept(
    job: RobustJob, network: nn.Module, pixels: Tensor, labels: Tensor, generator: torch.Generator
) -> Tensor:
    logits = partial(job.answers, network)
    sizes = torch.full((len(pixels), 1, 1, 1), job.recipe.epsilon, device=pixels.device)
    if job.recipe.method == "certified":
        with torch.no_grad():
            return shown(box_logits(job, network, pixels, labels, sizes)[1], labels)
    batch = Batch(logits, pixels, labels, sizes, _STEPS, generator)
    if job.recipe.method == "ccat":
        worst = backtracking(batch, lambda answers: other_confidence(answers, labels))
    else:
        worst = pgd(batch)
    with torch.no_grad():
        answers = logits(worst)
    if job.recipe.method == "ccat":
        return other_confidence(answers, labels).exp() < _HALF
    return answers.argmax(1) == labels
