"""Mutants with weights of their own as one differentiable function."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from evaluation.adaptive.mutants import Mutants, check_index
from evaluation.adaptive.sign_layers import SignLayer, folded_copy
from mutant_guard.errors import ModelError
from mutant_store.networks.weights import TrainedModel


class TrainedMutants(Mutants):
    """Network and mutants of it that were trained again, each a network of its own."""

    def __init__(self, model: TrainedModel, vectors: Sequence[NDArray[np.float32]]) -> None:
        """Make mutants.

        Args:
            model: the original. It is copied.
            vectors: all parameters of mutant 1, 2, …, float32 [P] each, in the order of
                ``Parameters``: each layer's weights neuron by neuron, then its bias, batch
                normalisation folded.

        Raises:
            ModelError: a vector is not of this network's length.
        """
        height, width, channels = model.classifier.shape
        blank = torch.zeros(1, channels, height, width)
        self._mean, self._std = (
            torch.tensor(values)[:, None, None] for values in (model.classifier.mean, model.classifier.std)
        )
        self.count = len(vectors)
        self._networks = [folded_copy(model.network, blank)[0]]
        for number, values in enumerate(vectors, 1):
            network, layers = folded_copy(model.network, blank)
            _write(layers, values, f"{model.name}, mutant {number}")
            self._networks.append(network)
        with torch.no_grad():
            self.classes = int(self.original(blank).shape[1])

    def original(self, images: Tensor) -> Tensor:
        """Return the original's logits float32 [N, classes].

        Args:
            images: float32 [N, C, H, W], pixel range 0 to 1.
        """
        return self._of(self._networks[0], images)

    def logits(self, images: Tensor, mutant_index: Tensor) -> Tensor:
        """Return logits of images under mutants.

        Each mutant is run once on all images that ask for it.
        """
        check_index(images, mutant_index)
        index = mutant_index.reshape(len(images), -1)
        found = images.new_zeros(*index.shape, self.classes)
        for number in sorted(set(index.flatten().tolist())):
            rows, columns = torch.nonzero(index == number, as_tuple=True)
            found = found.index_put((rows, columns), self._of(self._networks[number], images[rows]))
        return found.reshape(*mutant_index.shape, -1)

    def _of(self, network: nn.Module, images: Tensor) -> Tensor:
        logits: Tensor = network((images - self._mean) / self._std)
        return logits


@torch.no_grad()
def _write(layers: Sequence[SignLayer], values: NDArray[np.float32], name: str) -> None:
    """Replace the weights of folded layers by a vector's."""
    parts = [
        part for layer in layers for part in (layer.module.weight, layer.module.bias) if part is not None
    ]
    wanted = sum(part.numel() for part in parts)
    if len(values) != wanted:
        raise ModelError(f"{name}: there are {len(values):,} parameters and the network has {wanted:,}")
    start = 0
    for part in parts:
        part.copy_(torch.from_numpy(values[start : start + part.numel()].reshape(part.shape)))
        start += part.numel()
