"""Mutants that negate neurons as one differentiable function, and an attacker's draw of them."""

from collections.abc import Callable, Sequence
from math import ceil
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from evaluation.adaptive.mutants import Mutants, check_index, scaled
from evaluation.adaptive.sign_layers import SignLayer, folded_copy
from mutant_guard.errors import ModelError
from mutant_store.datasets import ImageData
from mutant_store.networks.weights import TrainedModel
from mutant_store.operators.base import chosen_count

_CHUNK = 64
_ROWS = 512
_PATIENCE, _HOPELESS = 1024, 0.005


class TorchMutants(Mutants):
    """Network and mutants of it that negate neurons (NAI), any mix of rows in one pass.

    A mutant's layer gives s ⊙ y where the original's gives y, s being −1 at its negated neurons
    (see ``nai``). Gradients flow to the images, never to the weights.

    Attributes:
        neurons: number of neurons of all layers.
    """

    def __init__(self, model: TrainedModel, choices: Sequence[NDArray[np.integer[Any]]]) -> None:
        """Make mutants.

        Args:
            model: the original. It is copied.
            choices: numbers of the negated neurons of mutant 1, 2, …, int [k] each, counted over
                the layers in the order they run.

        Raises:
            ModelError: a neuron's number is not among those of the network.
        """
        height, width, channels = model.classifier.shape
        blank = torch.zeros(1, channels, height, width)
        self._mean, self._std = (
            torch.tensor(values)[:, None, None] for values in (model.classifier.mean, model.classifier.std)
        )
        self._network, self._layers = folded_copy(model.network, blank)
        self.neurons = sum(layer.neurons for layer in self._layers)
        self.count = len(choices)
        self._signs = torch.ones(self.count + 1, self.neurons)
        for row, chosen in enumerate(choices, 1):
            if chosen.size and not 0 <= int(chosen.min()) <= int(chosen.max()) < self.neurons:
                raise ModelError(f"{model.name} has {self.neurons} neurons; mutant {row} negates others")
            self._signs[row, torch.from_numpy(chosen.astype(np.int64))] = -1
        for position, layer in enumerate(self._layers):
            layer.module.register_forward_hook(self._hook(layer, stem=position == 0))
        self._index: Tensor | None = None
        self._each = 1
        with torch.no_grad():
            self.classes = int(self.original(blank).shape[1])

    def original(self, images: Tensor) -> Tensor:
        """Return the original's logits float32 [N, classes].

        Args:
            images: float32 [N, C, H, W], pixel range 0 to 1.
        """
        logits: Tensor = self._network((images - self._mean) / self._std)
        return logits

    def logits(self, images: Tensor, mutant_index: Tensor) -> Tensor:
        """Return logits of images under mutants.

        Several mutants of an image share the network's first layer.
        """
        check_index(images, mutant_index)
        self._index = mutant_index.reshape(-1)
        self._each = self._index.numel() // len(images)
        try:
            return self.original(images).reshape(*mutant_index.shape, -1)
        finally:
            self._index, self._each = None, 1

    def _hook(self, layer: SignLayer, *, stem: bool) -> Callable[[nn.Module, Any, Tensor], Tensor | None]:
        signs = self._signs[:, layer.first : layer.first + layer.neurons]
        touched = bool((signs != 1).any())
        own = signs[:, :, None, None] if isinstance(layer.module, nn.Conv2d) else signs

        def negate(module: nn.Module, inputs: Any, output: Tensor) -> Tensor | None:
            if self._index is None:
                return None
            if stem and self._each > 1:
                output = output.repeat_interleave(self._each, 0)
            return output * own[self._index] if touched else output

        return negate


def drawn(
    model: TrainedModel, data: ImageData, rate: float, count: int, seed: int, accuracy_ratio: float = 0.9
) -> TorchMutants:
    """Draw mutants by the published recipe (Wang et al. 2019, section III-B).

    An attacker without the store makes such mutants.

    Args:
        model: the original.
        data: labelled images that mutants have to stay accurate on, such as some of the training
            images.
        rate: share of all neurons that a mutant negates.
        count: number of mutants.
        seed: seed of the draw. It is not a store's: the same number gives other mutants there.
        accuracy_ratio: least accuracy of a mutant on these images as a share of the original's.

    Raises:
        ModelError: hardly any mutant is accurate enough.
        ValueError: the rate is not in (0, 1].
    """
    rng = np.random.default_rng([seed, _CHUNK])
    images = scaled(data.images)
    labels = torch.from_numpy(data.labels)
    total = TorchMutants(model, []).neurons
    kept: list[NDArray[np.int64]] = []
    tried = 0
    while len(kept) < count:
        chosen = [rng.choice(total, chosen_count(total, rate), replace=False) for _ in range(_CHUNK)]
        correct = _correct(TorchMutants(model, chosen), images, labels)
        needed = ceil(round(accuracy_ratio * int(correct[0]), 9))
        kept += [chosen[place] for place in torch.nonzero(correct[1:] >= needed).flatten().tolist()]
        tried += _CHUNK
        if tried >= _PATIENCE and len(kept) < _HOPELESS * tried:
            raise ModelError(
                f"only {len(kept)} of {tried} mutants keep {accuracy_ratio:.0%} of the original's accuracy; "
                "take a lower rate"
            )
    return TorchMutants(model, kept[:count])


@torch.no_grad()
def _correct(mutants: TorchMutants, images: Tensor, labels: Tensor) -> Tensor:
    """Count the images that the original and each mutant label rightly, int64 [count + 1]."""
    index = torch.arange(mutants.count + 1)
    correct = torch.zeros(len(index), dtype=torch.int64)
    block = max(1, _ROWS // len(index))
    for start in range(0, len(images), block):
        part = images[start : start + block]
        answers = mutants.logits(part, index.expand(len(part), -1)).argmax(2)
        correct += (answers == labels[start : start + block, None]).sum(0)
    return correct
