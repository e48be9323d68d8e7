"""Mutants with weights of their own as one differentiable function."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from evaluation.adaptive.mutants import SeparateNetworks
from evaluation.adaptive.sign_layers import SignLayer, folded_copy
from mutant_guard.errors import ModelError
from mutant_store.networks.weights import TrainedModel


class TrainedMutants(SeparateNetworks):
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
        networks = [folded_copy(model.network, blank)[0]]
        for number, values in enumerate(vectors, 1):
            network, layers = folded_copy(model.network, blank)
            _write(layers, values, f"{model.name}, mutant {number}")
            networks.append(network)
        self.networks = [partial(self._of, network) for network in networks]
        with torch.no_grad():
            self.classes = int(self.original(blank).shape[1])

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
