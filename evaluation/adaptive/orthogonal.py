"""Attack that takes turns: fool the classifier, then quiet the detector.

Neither step disturbs the other. Bryniarski, Hingun, Pachuca, Wang, Carlini: Evading adversarial
example detection defenses with orthogonal projected gradient descent. ICLR 2022 (arXiv 2106.15023).
The detector's differentiable stand-in is a soft label change rate: the mean over mutants of 1 −
p(label). The label is the target, which is the original's once it is fooled.

The paper takes away a gradient's whole part along the other. Mutants agree with the original nearly
everywhere, so both gradients point the same way, and what is left of them leads nowhere: on LeNet
at ε = 0.2 that form evades a guard with 7 % of the images and plain descent with 96 %. Here only a
part that works *against* the other is taken away.
"""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from evaluation.adaptive.attack import Attack, Victims, gradient
from evaluation.adaptive.settings import Orthogonal


class OrthogonalAttack(Attack):
    """Attack whose steps follow one of two gradients, less what works against the other."""

    def __init__(self, settings: Orthogonal, victims: Victims) -> None:
        """Keep the settings and the victims."""
        self._settings, self._victims = settings, victims

    def direction(self, images: Tensor, targets: Tensor) -> Tensor:
        """Return a direction towards the target, or towards a lower label change rate of it.

        The second is returned where the original gives the target already.
        """
        mutants = self._victims.mutants
        images = images.detach().requires_grad_()
        logits = mutants.original(images)
        to_target = -gradient(cross_entropy(logits, targets, reduction="sum"), images)
        sampled = mutants.sample(len(images), self._settings.mutants, self._victims.generator)
        kept = mutants.logits(images, sampled).softmax(2)
        label = targets[:, None, None].expand(*sampled.shape, 1)
        to_quiet = gradient(kept.gather(2, label).mean((1, 2)).sum(), images)
        fooled = (logits.detach().argmax(1) == targets)[:, None, None, None]
        return torch.where(
            fooled, without_conflict(to_quiet, to_target), without_conflict(to_target, to_quiet)
        )


def without_conflict(direction: Tensor, other: Tensor) -> Tensor:
    """Return ``direction`` less its projection on ``other`` where the two disagree.

    It is taken image by image: float32 [N, C, H, W].
    """
    along = (direction * other).flatten(1).sum(1).clamp_max(0)
    length = other.square().flatten(1).sum(1).clamp_min(torch.finfo(other.dtype).tiny)
    return direction - (along / length)[:, None, None, None] * other
