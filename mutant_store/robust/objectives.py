"""Losses of robust training, by method."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, kl_div, log_softmax, one_hot

from mutant_store.robust.adversary import Adversary
from mutant_store.robust.intervals import worst_logits
from mutant_store.robust.job import RobustJob
from mutant_store.robust.settings import RobustRecipe


@dataclass(frozen=True, eq=False)
class Outcome:
    """Loss of a part of a batch.

    Attributes:
        loss: mean over the part, with its gradient.
        right: number of changed images that keep their label, or in ``certified`` of those that are
            shown to keep it.
        changed: number of changed images.
    """

    loss: Tensor
    right: Tensor
    changed: int


def certified(job: RobustJob, network: nn.Module, pixels: Tensor, labels: Tensor, sizes: Tensor) -> Outcome:
    """Return the loss on clean images and on the worst logits that any change can bring about.

    Args:
        job: job of the training.
        network: network that is trained.
        pixels: float32 [n, C, H, W] in the range 0 to 1.
        labels: int64 [n].
        sizes: float32 [n, 1, 1, 1], largest change of a pixel.
    """
    clean, worst = box_logits(job, network, pixels, labels, sizes)
    weight = job.recipe.clean_weight
    loss = weight * cross_entropy(clean, labels) + (1 - weight) * cross_entropy(worst, labels)
    return Outcome(loss, shown(worst, labels).sum(), len(labels))


def box_logits(
    job: RobustJob, network: nn.Module, pixels: Tensor, labels: Tensor, sizes: Tensor
) -> tuple[Tensor, Tensor]:
    """Return clean and worst logits, see ``worst_logits``, of pixels in the range 0 to 1."""
    assert isinstance(network, nn.Sequential)  # noqa: S101 - check_layers saw it
    ends = ((pixels - sizes).clamp(0, 1), (pixels + sizes).clamp(0, 1))
    lower, upper = (job.normalised(end) for end in ends)
    return worst_logits(network, job.normalised(pixels), lower, upper, labels)


def shown(worst: Tensor, labels: Tensor) -> Tensor:
    """Return which images no change takes from their label, bool [n], from worst logits."""
    return worst.scatter(1, labels[:, None], -torch.inf).amax(1) < 0


def attacked(
    adversary: Adversary,
    pixels: Tensor,
    labels: Tensor,
    sizes: Tensor,
    generator: torch.Generator,
    teacher: nn.Module | None = None,
) -> Outcome:
    """Return the loss on clean images and on images that the adversary changes.

    With a teacher both learn what it answers for the clean image, see ``distilled``.

    Args:
        adversary: attacker of the network.
        pixels: float32 [n, C, H, W] in the range 0 to 1.
        labels: int64 [n].
        sizes: float32 [n, 1, 1, 1], largest change of a pixel.
        generator: source of every draw, on the CPU.
        teacher: network of the original's kind whose answers are learned; None learns the labels.
    """
    job = adversary.job
    recipe = job.recipe
    untouched = 0 if recipe.paired else round(recipe.clean_weight * len(pixels))
    clean = pixels if recipe.paired else pixels[:untouched]
    begun, wanted = pixels[untouched:], labels[untouched:]
    changed = adversary.attack(begun, wanted, sizes[untouched:], generator) if len(begun) else begun
    logits = job.answers(adversary.network, torch.cat([clean, changed]))
    before, after = logits[: len(clean)], logits[len(clean) :]
    if teacher is not None:
        with torch.no_grad():
            answers = job.logits(teacher, pixels)
        on_clean = distilled(before, answers[: len(clean)], recipe.distill)
        on_changed = distilled(after, answers[untouched:], recipe.distill)
    else:
        on_clean = cross_entropy(before, labels[: len(clean)], reduction="sum")
        target = calmed(recipe, wanted, changed - begun, job.classes) if recipe.method == "ccat" else wanted
        on_changed = cross_entropy(after, target, reduction="sum")
    if recipe.method == "trades":
        divergence = kl_div(log_softmax(after, 1), log_softmax(before, 1), reduction="sum", log_target=True)
        loss = on_clean + recipe.beta * divergence
    elif recipe.paired:
        loss = recipe.clean_weight * on_clean + (1 - recipe.clean_weight) * on_changed
    else:
        loss = on_clean + on_changed
    loss = loss / len(pixels)
    return Outcome(loss, (after.argmax(1) == wanted).sum(), len(changed))


def distilled(logits: Tensor, answers: Tensor, temperature: float) -> Tensor:
    """Return the summed divergence of a network's answers from a teacher's, both softened.

    Source: Hinton, Vinyals, Dean: Distilling the knowledge in a neural network, 2015; on changed
    images Goldblum et al., AAAI 2020.

    Args:
        logits: float32 [n, classes].
        answers: logits of the teacher, float32 [n, classes].
        temperature: divisor of both, whose square keeps the size of the gradient.
    """
    own, taught = (log_softmax(scores / temperature, 1) for scores in (logits, answers))
    return temperature**2 * kl_div(own, taught, reduction="sum", log_target=True)


def calmed(recipe: RobustRecipe, labels: Tensor, change: Tensor, classes: int) -> Tensor:
    """Return targets float32 [n, classes] that turn uniform with the size of the change.

    Source: Stutz et al., ICML 2020, equation 5.

    Args:
        recipe: recipe with the size at which targets are uniform, and the power.
        labels: int64 [n].
        change: float32 [n, C, H, W], change of the pixels.
        classes: number of classes.
    """
    share = (change.flatten(1).abs().amax(1) / recipe.epsilon).clamp(max=1)
    sure = ((1 - share) ** recipe.power)[:, None]
    return sure * one_hot(labels, classes) + (1 - sure) / classes
