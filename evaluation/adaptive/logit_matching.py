"""Logits like those of a clean image of another class.

Tramèr, Carlini, Brendel, Mądry: On adaptive attacks to adversarial example defenses. NeurIPS 2020
(section 5 and appendix on detectors of unusual logits). The mutants' logits are matched too.
"""

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from evaluation.adaptive.attack import Attack, Victims, gradient, with_original
from evaluation.adaptive.settings import LogitMatching


class LogitMatchingAttack(Attack):
    """Attack that lowers the squared distance of all logits to a guide's.

    The logits are those of the original and of the same mutants.

    Attributes:
        guides: float32 [N, C, H, W], the guide of each image.
    """

    def __init__(self, settings: LogitMatching, victims: Victims) -> None:
        """Keep the settings and the victims.

        Raises:
            ValueError: there are not guides of two classes.
        """
        if not (victims.guide_labels != victims.guide_labels[:1]).any():
            raise ValueError(
                "logit matching needs rightly labelled images of two classes among those attacked"
            )
        self._settings, self._victims = settings, victims
        self.guides = victims.clean

    def aim(self, targets: Tensor) -> None:
        """Choose a guide for every image.

        It is a random one of the target class, or of any wrong class if there is none.
        """
        victims = self._victims
        foreign = victims.labels[:, None] != victims.guide_labels
        wanted = foreign & (victims.guide_labels == targets[:, None])
        allowed = torch.where(wanted.any(1, keepdim=True), wanted, foreign)
        chosen = torch.multinomial(allowed.float(), 1, generator=victims.generator)[:, 0]
        self.guides = victims.guides[chosen]

    def direction(self, images: Tensor, targets: Tensor) -> Tensor:
        """Return the negative gradient of the distance; the guide sets the label aimed at."""
        mutants = self._victims.mutants
        index = with_original(mutants.sample(len(images), self._settings.mutants, self._victims.generator))
        with torch.no_grad():
            wanted = mutants.logits(self.guides, index)
        images = images.detach().requires_grad_()
        return -gradient(mse_loss(mutants.logits(images, index), wanted, reduction="sum"), images)
