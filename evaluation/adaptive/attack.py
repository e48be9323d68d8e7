"""Interface of an attack, and the material it is given."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from evaluation.adaptive.mutants import Mutants


@dataclass(frozen=True, eq=False)
class Victims:
    """Images under attack.

    Attributes:
        mutants: the mutants that the attacker has.
        clean: float32 [N, C, H, W], pixel range 0 to 1.
        labels: int64 [N], the true labels.
        logits: float32 [N, classes], the original's for the clean images.
        guides: float32 [G, C, H, W], clean images that the original labels rightly.
        guide_labels: int64 [G], their labels.
        generator: generator of all the attack's random choices.
    """

    mutants: Mutants
    clean: Tensor
    labels: Tensor
    logits: Tensor
    guides: Tensor
    guide_labels: Tensor
    generator: torch.Generator

    def part(self, places: Tensor) -> "Victims":
        """Return some of the images, at places int64 [M], with all the guides."""
        return replace(self, clean=self.clean[places], labels=self.labels[places], logits=self.logits[places])

    def targets(self, rank: int) -> Tensor:
        """Return the wrong label of a rank for every image, 0 the most likely one: int64 [N]."""
        wrong = self.logits.scatter(1, self.labels[:, None], -torch.inf)
        return wrong.argsort(1, descending=True)[:, rank]


class Attack(ABC):
    """Direction to move images in; the search around it is ``search``."""

    def aim(self, targets: Tensor) -> None:  # noqa: B027
        """Prepare for targets int64 [N]; called once before the steps."""

    @abstractmethod
    def direction(self, images: Tensor, targets: Tensor) -> Tensor:
        """Return the direction to move images in, float32 [N, C, H, W], of any scale.

        Args:
            images: float32 [N, C, H, W].
            targets: labels to reach, int64 [N].
        """


def gradient(loss: Tensor, images: Tensor) -> Tensor:
    """Return the gradient of a sum over images float32 [N, C, H, W]."""
    (found,) = torch.autograd.grad(loss, images)
    return found


def with_original(sampled: Tensor) -> Tensor:
    """Return mutants int64 [N, M] with the original before them: [N, 1 + M]."""
    return torch.cat([sampled.new_zeros(len(sampled), 1), sampled], 1)
