"""Images under attack, and the images that got past the guard so far."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evaluation.adaptive.mutants import scaled
from evaluation.adaptive.strongest.judge import Judge, Judged, Pixels

LEVELS = 255


class Hunt:
    """Images under attack, each worked on until it evades every policy.

    Attributes:
        judge: the guard's answers.
        pixels: uint8 [N, H, W, C], the clean images.
        clean: float32 [N, C, H, W], the same from 0 to 1.
        labels: int64 [N], the true labels.
        evaded: bool [P, N], whether an image was found that a policy clears under a wrong label.
        found: uint8 [P, N, H, W, C], that image; the clean one where there is none.
        steps: int64 [P, N], steps of the attack on the image before it was found, or −1.
        spent: int64 [N], steps of the attack on every image so far.
        fooled: bool [N], whether the original gave a wrong label on the way.
    """

    def __init__(self, judge: Judge, pixels: Pixels, labels: NDArray[np.int64]) -> None:
        """Begin with nothing found."""
        policies, count = len(judge.policies), len(pixels)
        self.judge, self.pixels = judge, pixels
        self.clean, self.labels = scaled(pixels), torch.from_numpy(labels)
        self.evaded = np.zeros((policies, count), dtype=np.bool_)
        self.found = np.repeat(pixels[None], policies, axis=0)
        self.steps = np.full((policies, count), -1, dtype=np.int64)
        self.spent = np.zeros(count, dtype=np.int64)
        self.fooled = np.zeros(count, dtype=np.bool_)

    def resume(self, evaded: NDArray[np.bool_], found: Pixels, fooled: NDArray[np.bool_]) -> None:
        """Take over what was found before, at no step of this attack."""
        self.evaded, self.found, self.fooled = evaded.copy(), found.copy(), fooled.copy()
        self.steps[evaded] = 0

    @property
    def open(self) -> NDArray[np.bool_]:
        """Images that do not evade every policy yet, bool [N]."""
        return np.asarray(~self.evaded.all(axis=0))

    def offer(self, images: Tensor, places: NDArray[np.int64]) -> None:
        """Have images judged, and keep those that evade a policy that nothing evaded before.

        Args:
            images: float32 [M, C, H, W] of whole 8-bit levels, from 0 to 1.
            places: int64 [M], places of their clean images.
        """
        levels = torch.round(images * LEVELS).byte().permute(0, 2, 3, 1).contiguous().numpy()
        if len(levels):
            self.keep(self.judge.judge(levels), levels, places)

    def keep(self, answers: Judged, levels: Pixels, places: NDArray[np.int64]) -> None:
        """Keep judged images uint8 [M, H, W, C] that evade a policy that nothing evaded before."""
        wrong = answers.labels != self.labels.numpy()[places]
        self.fooled[places] |= wrong
        evades = answers.cleared & wrong
        for policy, row in np.argwhere(evades):
            place = places[row]
            if not self.evaded[policy, place]:
                self.evaded[policy, place] = True
                self.found[policy, place] = levels[row]
                self.steps[policy, place] = self.spent[place]
