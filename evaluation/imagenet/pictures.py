"""A classifier with its preprocessing as one differentiable function of the pictures sent."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import interpolate

from evaluation.imagenet.classifiers import MEAN, STD, PublishedClassifier, folded
from evaluation.imagenet.photographs import SIDE
from mutant_guard.store.resizing import ResizeRule
from mutant_store.networks import Network
from mutant_store.networks.weights import TrainedModel


class Resized(nn.Module):
    """Network behind the resize and the centre crop of its preprocessing.

    The filter is bilinear and widens with the reduction, as Pillow's does; it does not round.
    """

    def __init__(self, network: nn.Module, shorter: int, size: int) -> None:
        super().__init__()
        self.network, self._shorter, self._size = network, shorter, size

    def forward(self, images: Tensor) -> Tensor:
        """Return logits float32 [N, classes] of squares float32 [N, C, S, S]."""
        if images.shape[-1] != self._shorter:
            images = interpolate(images, size=(self._shorter,) * 2, mode="bilinear", antialias=True)
        start = round((self._shorter - self._size) / 2)
        within = slice(start, start + self._size)
        cropped = images[:, :, within, within].contiguous(memory_format=torch.channels_last)
        logits: Tensor = self.network(cropped)
        return logits


@dataclass(frozen=True, eq=False)
class PictureClassifier:
    """Classifier of square pictures of ``SIDE`` pixels.

    Attributes:
        classifier: the network and its preprocessing.
        network: the network, batch normalisations folded.
    """

    classifier: PublishedClassifier
    network: nn.Module

    @classmethod
    def of(cls, name: str) -> "PictureClassifier":
        """Return the published classifier of a name.

        Raises:
            ModelError: there is none, or its packages are not installed.
        """
        classifier = PublishedClassifier.named(name)
        return cls(classifier, folded(classifier.network()))

    @property
    def on_pictures(self) -> TrainedModel:
        """The network that reads whole pictures, with gradients through its preprocessing."""
        rule = ResizeRule.parse(self.classifier.resize)
        network = Resized(self.network, rule.shorter, self.classifier.size)
        described = Network(
            build=lambda classes: network,
            data="",
            shape=(SIDE, SIDE, 3),
            mean=MEAN,
            std=STD,
            epochs=1,
            batch_size=1,
            learning_rate=1.0,
        )
        return TrainedModel(self.classifier.name, network.eval(), described)

    @torch.inference_mode()
    def logits(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return logits float32 [N, classes] of pictures uint8 [N, S, S, 3], resized by Pillow."""
        rule, size = ResizeRule.parse(self.classifier.resize), self.classifier.size
        mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
        found = []
        for picture in pictures:
            pixels = np.asarray(rule.apply(Image.fromarray(picture), height=size, width=size))
            image = torch.from_numpy(pixels.transpose(2, 0, 1).astype(np.float32))[None] / 255
            found.append(self.network((image - mean) / std))
        return torch.cat(found).numpy()
