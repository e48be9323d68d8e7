"""Inner attacks of robust training: the worst case that a mutant is trained on."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, kl_div, log_softmax, softmax

from mutant_store.retraining.attacks import Batch, gradient, within
from mutant_store.robust.job import RobustJob

_STRIDE = 0.5
"""First step of the attack with backtracking, in sizes."""

Loss = Callable[[Tensor], Tensor]
"""Function from logits float32 [n, classes] to losses float32 [n], which an attack increases."""


@dataclass(frozen=True, eq=False)
class Adversary:
    """Attacker of a network in training.

    Attributes:
        job: job of the training.
        network: network that is trained, on the job's device.
        original: original that is attacked as well, on that device; None attacks the network alone.
        steps: number of steps.
    """

    job: RobustJob
    network: nn.Module
    original: nn.Module | None
    steps: int

    def attack(self, pixels: Tensor, labels: Tensor, sizes: Tensor, generator: torch.Generator) -> Tensor:
        """Return changed pixels float32 [n, C, H, W] in the range 0 to 1.

        Args:
            pixels: float32 [n, C, H, W], clean, in the range 0 to 1, on the job's device.
            labels: int64 [n].
            sizes: float32 [n, 1, 1, 1], largest change of a pixel of each image; one step from a
                random start may leave it by the range of that start.
            generator: source of every draw, on the CPU.
        """
        recipe = self.job.recipe
        batch = Batch(self._logits, pixels, labels, sizes, self.steps, generator)
        if recipe.method == "ccat":
            return backtracking(batch, self._beside(lambda logits: other_confidence(logits, labels), labels))
        if recipe.method == "trades":
            with torch.no_grad():
                clean = softmax(self.job.answers(self.network, pixels), 1)
            divergence = self._beside(
                lambda logits: kl_div(log_softmax(logits, 1), clean, reduction="none").sum(1), labels
            )
            return within(batch, lambda logits: divergence(logits).sum())
        loss = self._beside(lambda logits: cross_entropy(logits, labels, reduction="none"), labels)
        if recipe.method == "fast" and self.steps == 1:
            return noisy_step(batch, loss, recipe.noise)
        return within(batch, lambda logits: loss(logits).sum())

    def _logits(self, pixels: Tensor) -> Tensor:
        """Return the network's logits, followed by the original's where that is attacked as well."""
        own = self.job.answers(self.network, pixels)
        if self.original is None:
            return own
        return torch.cat([own, self.job.logits(self.original, pixels)], 1)

    def _beside(self, loss: Loss, labels: Tensor) -> Loss:
        """Add the original's loss where that is attacked as well."""
        if self.original is None:
            return loss
        classes = self.job.classes
        return lambda logits: (
            loss(logits[:, :classes]) + cross_entropy(logits[:, classes:], labels, reduction="none")
        )


def noisy_step(batch: Batch, loss: Loss, noise: float) -> Tensor:
    """Take one step of the gradient's sign from a random start that may lie outside the box.

    Source: de Jorge et al., NeurIPS 2022. The change is not projected, which is what keeps a single
    step from catastrophic overfitting.

    Args:
        batch: input of the attack.
        loss: losses to increase.
        noise: range of the random start, in sizes.

    Returns:
        Changed pixels float32 [n, C, H, W] in the range 0 to 1.
    """
    start = batch.pixels + (2 * batch.uniform(*batch.pixels.shape) - 1) * noise * batch.epsilons
    slope = gradient(batch, start, lambda logits: loss(logits).sum())
    return (start + batch.epsilons * slope.sign()).clamp(0, 1)


def backtracking(batch: Batch, loss: Loss) -> Tensor:
    """Ascend losses within ε of the clean pixels, and go back where a step does not increase one.

    The step of such an image is halved. Source: Stutz et al., ICML 2020, without their momentum.

    Args:
        batch: input of the attack.
        loss: losses to increase.

    Returns:
        The changed pixels with the largest loss met, float32 [n, C, H, W] in the range 0 to 1.
    """
    size = batch.epsilons
    change = (2 * batch.uniform(*batch.pixels.shape) - 1) * size
    best, best_slope = change, torch.zeros_like(change)
    best_loss = torch.full_like(size, -torch.inf)
    stride = _STRIDE * size
    for _ in range(batch.steps):
        pixels = (batch.pixels + change).clamp(0, 1).requires_grad_()
        losses = loss(batch.logits(pixels))
        (slope,) = torch.autograd.grad(losses.sum(), pixels)
        value = losses.detach().view_as(size)
        better = value > best_loss
        best, best_slope = torch.where(better, change, best), torch.where(better, slope, best_slope)
        best_loss = torch.maximum(best_loss, value)
        stride = torch.where(better, stride, stride / 2)
        change = torch.clamp(best + stride * best_slope.sign(), -size, size)
    with torch.no_grad():
        value = loss(batch.logits((batch.pixels + change).clamp(0, 1))).view_as(size)
    best = torch.where(value > best_loss, change, best)
    return (batch.pixels + best).clamp(0, 1)


def other_confidence(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the logarithm of the largest probability of a class other than the label, [n]."""
    shares = log_softmax(logits, 1)
    return shares.scatter(1, labels[:, None], -torch.inf).amax(1)
