"""Original and companions in an attacker's hand, as one differentiable function of pictures."""

from collections.abc import Sequence

import torch

from evaluation.adaptive.mutants import SeparateNetworks
from evaluation.attacks.target import OnPixels
from evaluation.imagenet.pictures import PictureClassifier


class KnownCompanions(SeparateNetworks):
    """Original, and companions as its mutants 1, 2, …; each with its own resize and crop."""

    def __init__(self, original: PictureClassifier, companions: Sequence[PictureClassifier]) -> None:
        """Keep the classifiers."""
        self.networks = [OnPixels(one.on_pictures) for one in (original, *companions)]
        self.count = len(companions)
        side = original.on_pictures.classifier.shape[0]
        with torch.no_grad():
            self.classes = int(self.original(torch.zeros(1, 3, side, side)).shape[1])
