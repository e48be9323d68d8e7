"""Activations of the layers of any network."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mutant_store.networks.inference import normalised
from mutant_store.networks.weights import TrainedModel

_BATCH = 250


def activations(model: TrainedModel, images: NDArray[np.uint8]) -> Iterator[list[Tensor]]:
    """Run images through the network, a batch at a time.

    A layer's activations are taken where the next convolution or dense layer reads them: behind its
    activation function, normalisation, shortcut and pooling, however the network writes these.
    Activations that two layers read (the branches of a block) come once.

    Args:
        model: the network.
        images: uint8 [N, H, W, C].

    Yields:
        For each batch of the images, in their order, a float32 tensor [B, ...] a layer, from the
        first to the logits. The last but one is what the last dense layer reads.
    """
    read: list[Tensor] = []

    def keep(_: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        if all(arguments[0] is not known for known in read):
            read.append(arguments[0])

    weighted = [module for module in model.network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    for start in range(0, len(images), _BATCH):
        batch = torch.from_numpy(normalised(model.classifier, images[start : start + _BATCH]))
        hooks = [module.register_forward_pre_hook(keep) for module in weighted]
        try:
            with torch.inference_mode():
                answers = model.network(batch)
        finally:
            for hook in hooks:
                hook.remove()
        # The first input that is read is the image itself.
        yield [*read[1:], answers]
        read.clear()


def last_hidden(model: TrainedModel, images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the input of the last dense layer, float64 [N, units], for uint8 [N, H, W, C]."""
    batches = [layers[-2].flatten(1).numpy() for layers in activations(model, images)]
    return np.concatenate(batches).astype(np.float64)
