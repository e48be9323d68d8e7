"""Movement of the probabilities when the image is squeezed into fewer colours or smoothed.

Xu, Evans, Qi: Feature squeezing: Detecting adversarial examples in deep neural networks. NDSS 2018.
"""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter
from scipy.special import softmax

from evaluation.baselines.base import Detector
from evaluation.workspace import Workspace
from mutant_store.datasets import ImageData
from mutant_store.networks.inference import logits
from mutant_store.networks.weights import TrainedModel


class FeatureSqueezing(Detector):
    """Largest L1 distance, 0 to 2, between the probabilities of an image and of squeezed copies."""

    name: ClassVar[str] = "feature squeezing"
    note: ClassVar[str] = (
        "Bit depth and median filter only, without the non-local means they add for colour images."
    )
    forward_passes = 3.0

    def __init__(self, bits: int, median: int) -> None:
        """Keep the settings.

        Args:
            bits: bits a channel that are left, 1 to 8.
            median: side of the median filter in pixels.
        """
        self.bits, self.median = bits, median

    def _learn(self, model: TrainedModel, train: ImageData, seed: int, workspace: Workspace) -> None:
        """Learn nothing."""

    def scores(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        plain, *squeezed = (
            softmax(logits(self.model.network, self.model.classifier, pixels).astype(np.float64), axis=1)
            for pixels in (images, reduce_depth(images, self.bits), smooth(images, self.median))
        )
        distances = [np.abs(plain - probabilities).sum(axis=1) for probabilities in squeezed]
        largest: NDArray[np.float64] = np.maximum.reduce(distances)
        return largest


def reduce_depth(images: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Return images uint8 [N, H, W, C] in 2^bits evenly spaced values from 0 to 255.

    Each value is rounded to 8 bits.
    """
    steps = 2**bits - 1
    levels = np.rint(images.astype(np.float32) * (steps / 255))
    reduced: NDArray[np.uint8] = np.rint(levels * (255 / steps)).astype(np.uint8)
    return reduced


def smooth(images: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Return images uint8 [N, H, W, C] after a median filter of size × size pixels.

    The images are mirrored at the borders. Of an even number of values the median is the upper one
    of the two in the middle, as in the authors' code.
    """
    filtered: NDArray[np.uint8] = median_filter(images, size=(1, size, size, 1), mode="reflect")
    return filtered
