"""Label changes under random changes of the input.

Wang, Sun, Zhang, Wang: Detecting adversarial samples for deep neural networks through mutation
testing. 2018, arXiv:1805.05010. It is the second baseline of Wang, Dong, Sun, Wang, Zhang:
Adversarial sample detection for deep neural network through model mutation testing. ICSE 2019.
"""

import hashlib
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from evaluation.baselines.base import Detector
from evaluation.workspace import Workspace
from mutant_store.datasets import ImageData
from mutant_store.networks.inference import logits
from mutant_store.networks.weights import TrainedModel

_ROWS = 1_000
"""Number of perturbed images held at once."""


class InputPerturbation(Detector):
    """Share of noisy copies of an image, 0 to 1, that get another label than the image."""

    name: ClassVar[str] = "input perturbation"
    note: ClassVar[str] = (
        "Gaussian noise on every pixel, clipped and rounded to 8 bits, in place of their random steps; "
        "a fixed number of copies in place of their sequential test."
    )

    def __init__(self, sigma: float, draws: int) -> None:
        """Keep the settings.

        Args:
            sigma: standard deviation of the noise, as a share of the pixel range.
            draws: number of copies an image.
        """
        self.sigma, self.draws = sigma, draws
        self.forward_passes = 1.0 + draws
        self._seed = 0

    def _learn(self, model: TrainedModel, train: ImageData, seed: int, workspace: Workspace) -> None:
        self._seed = seed

    def scores(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        model = self.model
        labels = logits(model.network, model.classifier, images).argmax(axis=1)
        rates = np.empty(len(images))
        step = max(1, _ROWS // self.draws)
        for start in range(0, len(images), step):
            batch = slice(start, start + step)
            copies = np.concatenate([self.copies(image) for image in images[batch]])
            answers = logits(model.network, model.classifier, copies).argmax(axis=1).reshape(-1, self.draws)
            rates[batch] = (answers != labels[batch, None]).mean(axis=1)
        return rates

    def copies(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return noisy copies uint8 [draws, H, W, C] of an image uint8 [H, W, C].

        They are drawn from the seed and the image's own bytes.
        """
        digest = hashlib.sha256(self._seed.to_bytes(8, "big") + image.tobytes()).digest()
        generator = np.random.default_rng(int.from_bytes(digest, "big"))
        noise = generator.standard_normal((self.draws, *image.shape), dtype=np.float32)
        noise *= np.float32(self.sigma * 255)
        noise += image
        copies: NDArray[np.uint8] = np.rint(noise.clip(0, 255)).astype(np.uint8)
        return copies
