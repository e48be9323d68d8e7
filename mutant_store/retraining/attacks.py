"""Kinds of adversarial images that mutants are trained on.

All of them are ways to follow the original's gradient. None is an attack of the evaluation: those
are other implementations, of other sizes, and several are of other families.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

Logits = Callable[[Tensor], Tensor]
"""Function from pixels float32 [n, C, H, W] in the range 0 to 1 to logits float32 [n, classes]."""

_STRIDE = 2.5
"""Length of all steps together, in sizes, as in Madry et al."""
_EUCLIDEAN_STEPS, _EUCLIDEAN_STRIDE = 12, 1.25
_EUCLIDEAN_SHARE = 0.6
"""L2 size as a share of the L∞ size times √values, beyond which hardly an image resists."""
_CONFIDENCE, _MOST_CONFIDENCE = 15.0, 25.0
"""Largest lead of the wrong label, in logits, that the two L2 attacks go up to."""
_SHORTEST = 1 / 3
"""Least length of a confident change, as a share of the longest."""
_SPARSE_STEPS, _SPARSE_SHARE = 15, 0.075
_NEVER = 1e9


@dataclass(frozen=True, eq=False)
class Batch:
    """Input of an attack, on one device.

    Attributes:
        logits: function of the network that is attacked.
        pixels: float32 [n, C, H, W], clean, in the range 0 to 1.
        labels: int64 [n], labels that the network is led away from.
        epsilons: float32 [n, 1, 1, 1], sizes in that range.
        steps: number of steps of the attacks that take the recipe's number.
        generator: source of every draw, on the CPU.
    """

    logits: Logits
    pixels: Tensor
    labels: Tensor
    epsilons: Tensor
    steps: int
    generator: torch.Generator

    def uniform(self, *shape: int) -> Tensor:
        """Return draws in the range 0 to 1, float32, on the batch's device."""
        return torch.rand(*shape, generator=self.generator).to(self.pixels.device)


Attack = Callable[[Batch], Tensor]
"""Function from a batch to changed pixels float32 [n, C, H, W] in the range 0 to 1."""


def pgd(batch: Batch) -> Tensor:
    """Run projected gradient descent on the cross-entropy from a random start.

    Source: Madry et al., ICLR 2018.
    """
    return within(batch, lambda logits: cross_entropy(logits, batch.labels, reduction="sum"))


def margin(batch: Batch) -> Tensor:
    """Run projected gradient descent on the margin by which the strongest other class leads."""
    return within(batch, lambda logits: _lead(logits, batch.labels).sum())


def targeted(batch: Batch) -> Tensor:
    """Run projected gradient descent on the cross-entropy towards a random other class."""
    classes = int(batch.logits(batch.pixels[:1]).shape[1])
    step = torch.randint(1, classes, batch.labels.shape, generator=batch.generator)
    towards = (batch.labels + step.to(batch.labels.device)) % classes
    return within(batch, lambda logits: -cross_entropy(logits, towards, reduction="sum"))


def single_step(batch: Batch) -> Tensor:
    """Take one step of the gradient's sign, at the largest size of the batch.

    Source: Goodfellow et al., ICLR 2015.
    """
    size = batch.epsilons.max()
    slope = gradient(batch, batch.pixels, lambda logits: cross_entropy(logits, batch.labels, reduction="sum"))
    return (batch.pixels + size * slope.sign()).clamp(0, 1)


def euclidean(batch: Batch) -> Tensor:
    """Ascend the gradient of the margin within an L2 ball of an image's size, up to a random confidence.

    The confidence is drawn so that some images are very confident.
    """
    return _ascended(batch, batch.epsilons, _CONFIDENCE)


def confident(batch: Batch) -> Tensor:
    """Ascend the gradient of the margin within an L2 ball, further and up to more confidence.

    Sizes are drawn up to the largest of the batch, whatever the images' own are.
    """
    share = _SHORTEST + (1 - _SHORTEST) * batch.uniform(len(batch.labels), 1, 1, 1)
    return _ascended(batch, batch.epsilons.max() * share, _MOST_CONFIDENCE)


def sparse(batch: Batch) -> Tensor:
    """Push the few values that help most to black or full, until the label changes.

    This is an idea of JSMA's.
    """
    pixels, free = batch.pixels.clone(), torch.ones_like(batch.pixels)
    each = max(1, round(_SPARSE_SHARE * pixels[0].numel() / _SPARSE_STEPS))
    for _ in range(_SPARSE_STEPS):
        slope = gradient(batch, pixels, lambda logits: _lead(logits, batch.labels).sum())
        with torch.no_grad():
            resists = (_lead(batch.logits(pixels), batch.labels) <= 0).float()[:, None, None, None]
            gain = torch.maximum(slope * (1 - pixels), -slope * pixels) * free
            places = gain.flatten(1).topk(each, dim=1).indices
            chosen = torch.zeros_like(pixels).flatten(1).scatter(1, places, 1.0).view_as(pixels) * resists
            pixels = pixels * (1 - chosen) + chosen * (slope > 0).float()
            free = free * (1 - chosen)
    return pixels


ATTACKS: dict[str, Attack] = {
    "pgd": pgd,
    "margin": margin,
    "targeted": targeted,
    "single-step": single_step,
    "euclidean": euclidean,
    "confident": confident,
    "sparse": sparse,
}
"""Attacks by name."""


def within(batch: Batch, loss: Callable[[Tensor], Tensor]) -> Tensor:
    """Ascend a loss of the logits within ε of the clean pixels, from a random start.

    Args:
        batch: input of the attack.
        loss: function from logits to the sum over the batch that the changes increase.

    Returns:
        Changed pixels float32 [n, C, H, W] in the range 0 to 1.
    """
    size = batch.epsilons
    change = (2 * batch.uniform(*batch.pixels.shape) - 1) * size
    for _ in range(batch.steps):
        slope = gradient(batch, (batch.pixels + change).clamp(0, 1), loss)
        change = torch.clamp(change + _STRIDE / batch.steps * size * slope.sign(), -size, size)
    return (batch.pixels + change).clamp(0, 1)


def _ascended(batch: Batch, sizes: Tensor, most: float) -> Tensor:
    """Ascend the margin within L2 balls, up to a confidence drawn for each image.

    Args:
        batch: the batch.
        sizes: float32 [n, 1, 1, 1], sizes as those of L∞ balls, from which lengths follow.
        most: largest confidence.
    """
    size = _EUCLIDEAN_SHARE * sizes * batch.pixels[0].numel() ** 0.5
    confidence = most * batch.uniform(len(batch.labels))
    change = torch.zeros_like(batch.pixels)
    for _ in range(_EUCLIDEAN_STEPS):
        slope = gradient(
            batch,
            batch.pixels + change,
            lambda logits: torch.minimum(_lead(logits, batch.labels), confidence).sum(),
        )
        change = change + _EUCLIDEAN_STRIDE / _EUCLIDEAN_STEPS * size * slope / (_norm(slope) + 1e-12)
        change = change * (size / _norm(change).clamp_min(1e-12)).clamp(max=1)
        change = (batch.pixels + change).clamp(0, 1) - batch.pixels
    return batch.pixels + change


def gradient(batch: Batch, pixels: Tensor, loss: Callable[[Tensor], Tensor]) -> Tensor:
    """Return the gradient of a loss of the logits with respect to pixels, of their shape."""
    pixels = pixels.detach().requires_grad_()
    (found,) = torch.autograd.grad(loss(batch.logits(pixels)), pixels)
    return found.detach()


def _lead(logits: Tensor, labels: Tensor) -> Tensor:
    """Return by how much the strongest other class leads the label, [n]."""
    own = logits.gather(1, labels[:, None])[:, 0]
    return logits.scatter(1, labels[:, None], -_NEVER).amax(1) - own


def _norm(change: Tensor) -> Tensor:
    lengths: Tensor = torch.linalg.vector_norm(change.flatten(1), dim=1)
    return lengths[:, None, None, None]
