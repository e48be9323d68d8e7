"""Original and companions in an attacker's hand, as one differentiable function of pictures."""

from collections.abc import Sequence

import torch
from torch import Tensor

from evaluation.adaptive.mutants import Mutants, check_index
from evaluation.attacks.target import OnPixels
from evaluation.imagenet.pictures import PictureClassifier


class KnownCompanions(Mutants):
    """Original, and companions as its mutants 1, 2, …; each with its own resize and crop."""

    def __init__(self, original: PictureClassifier, companions: Sequence[PictureClassifier]) -> None:
        """Keep the classifiers."""
        self._networks = [OnPixels(one.on_pictures) for one in (original, *companions)]
        self.count = len(companions)
        side = original.on_pictures.classifier.shape[0]
        with torch.no_grad():
            self.classes = int(self.original(torch.zeros(1, 3, side, side)).shape[1])

    def original(self, images: Tensor) -> Tensor:
        """Return the original's logits float32 [N, classes] of pictures, pixel range 0 to 1."""
        logits: Tensor = self._networks[0](images)
        return logits

    def logits(self, images: Tensor, mutant_index: Tensor) -> Tensor:
        """Return logits of pictures under companions.

        Each is run once on all pictures that ask for it.
        """
        check_index(images, mutant_index)
        index = mutant_index.reshape(len(images), -1)
        found = images.new_zeros(*index.shape, self.classes)
        for number in sorted(set(index.flatten().tolist())):
            rows, columns = torch.nonzero(index == number, as_tuple=True)
            found = found.index_put((rows, columns), self._networks[number](images[rows]))
        return found.reshape(*mutant_index.shape, -1)
