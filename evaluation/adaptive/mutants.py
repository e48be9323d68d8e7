"""Function that attackers follow gradients through: a network and mutants of it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mutant_guard.errors import ModelError
from mutant_guard.store.reader import Store
from mutant_store.networks.inference import normalised
from mutant_store.networks.weights import TrainedModel

Network = Callable[[Tensor], Tensor]
"""Function from images float32 [M, C, H, W], 0 to 1, to logits float32 [M, classes]."""

_COMPARED = 4
_TOLERANCE = 1e-2


class Mutants(ABC):
    """Network and its mutants as one differentiable function.

    Gradients flow to the images, never to weights.

    Attributes:
        count: number of mutants.
        classes: number of classes.
    """

    count: int
    classes: int

    @abstractmethod
    def original(self, images: Tensor) -> Tensor:
        """Return the original's logits float32 [N, classes].

        Args:
            images: float32 [N, C, H, W], pixel range 0 to 1.
        """

    @abstractmethod
    def logits(self, images: Tensor, mutant_index: Tensor) -> Tensor:
        """Return logits of images under mutants.

        Args:
            images: float32 [N, C, H, W], pixel range 0 to 1.
            mutant_index: int64 [N], one mutant an image, or [N, M], several; 0 is the original.

        Returns:
            float32 [N, classes] or [N, M, classes].

        Raises:
            ValueError: there is not one row of mutants an image.
        """

    def sample(self, images: int, mutants: int, generator: torch.Generator) -> Tensor:
        """Draw mutants at random for every image, no mutant twice for one image.

        The original is never among them.

        Args:
            images: number of images.
            mutants: number of mutants an image.
            generator: generator of the draw.

        Returns:
            int64 [images, min(mutants, count)].
        """
        places = torch.rand(images, self.count, generator=generator).argsort(1)
        return places[:, :mutants] + 1


class SeparateNetworks(Mutants):
    """Original and mutants that are networks of their own, whatever their architectures.

    Attributes:
        networks: the original, then mutant 1, 2, ….
    """

    networks: Sequence[Network]

    def original(self, images: Tensor) -> Tensor:
        """Return the original's logits float32 [N, classes].

        Args:
            images: float32 [N, C, H, W], pixel range 0 to 1.
        """
        return self.networks[0](images)

    def logits(self, images: Tensor, mutant_index: Tensor) -> Tensor:
        """Return logits of images under mutants.

        Each network is run once on all images that ask for it.
        """
        check_index(images, mutant_index)
        index = mutant_index.reshape(len(images), -1)
        found = images.new_zeros(*index.shape, self.classes)
        for number in sorted(set(index.flatten().tolist())):
            rows, columns = torch.nonzero(index == number, as_tuple=True)
            found = found.index_put((rows, columns), self.networks[number](images[rows]))
        return found.reshape(*mutant_index.shape, -1)


def check_index(images: Tensor, mutant_index: Tensor) -> None:
    """Check that there is one row of mutants an image.

    Raises:
        ValueError: there is not.
    """
    if mutant_index.ndim not in (1, 2) or len(mutant_index) != len(images):
        raise ValueError(
            f"need mutants [N] or [N, M] for {len(images)} images, got {list(mutant_index.shape)}"
        )


def check_scores(mutants: Mutants, store: Store, model: TrainedModel) -> None:
    """Compare scores on noise with those of a store's bank.

    A different network of the same shape does not pass.

    Raises:
        ModelError: the scores differ.
    """
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (_COMPARED, *model.classifier.shape), dtype=np.uint8)
    index = np.minimum(np.arange(_COMPARED), mutants.count)
    session = store.session(threads=1)
    expected = session.scores(
        session.features(normalised(model.classifier, pixels)), np.arange(_COMPARED), index
    )
    session.close()
    with torch.no_grad():
        actual = mutants.logits(scaled(pixels), torch.from_numpy(index)).numpy()
    if np.abs(actual - expected).max() > _TOLERANCE * max(1.0, float(np.abs(expected).max())):
        raise ModelError(
            f"store '{store.name}' was not built from these weights of {model.name}: they score otherwise"
        )


def scaled(pixels: NDArray[np.uint8]) -> Tensor:
    """Return images float32 [N, C, H, W] in the range 0 to 1, of pixels uint8 [N, H, W, C]."""
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))).float() / 255
