"""Every mutant as a torch module of its own, run one after the other: the alternative.

Layers are a module's convolutions and dense layers in the order in which they are registered, which
has to be the order in which they run; neurons and parameters are counted over them. Batch
normalisation registered right behind a convolution belongs to it.
"""

import copy
import itertools
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mutant_guard.bank.pool import Choice, Mutant, patch

Layer = nn.Conv2d | nn.Linear


def mutated(module: nn.Module, mutant: Mutant) -> nn.Module:
    """Return a mutated copy of the module; operators other than NAI act on folded weights.

    ``folded`` makes such weights.
    """
    copied = copy.deepcopy(module)
    with torch.no_grad():
        if mutant.operator == "nai":
            _negate(copied, mutant.choice)
        elif mutant.operator == "ns":
            _switch(copied, mutant.choice)
        else:
            _overwrite(copied, mutant.choice)
    return copied


def folded(module: nn.Module) -> nn.Module:
    """Return a copy with batch normalisation folded into the convolutions before it."""
    copied = copy.deepcopy(module)
    for parent in list(copied.modules()):
        for (name, child), (behind, norm) in itertools.pairwise(list(parent.named_children())):
            if isinstance(child, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(parent, name, fuse_conv_bn_eval(child, norm))
                setattr(parent, behind, nn.Identity())
    return copied


def scores(modules: Sequence[nn.Module], image: Tensor, threads: int) -> NDArray[np.float32]:
    """Return class scores float32 [M, classes] of one image float32 [1, …], module by module."""
    torch.set_num_threads(threads)
    with torch.inference_mode():
        return torch.cat([module(image) for module in modules]).numpy()


def correct(module: nn.Module, batches: Sequence[tuple[Tensor, Tensor]], threads: int) -> int:
    """Count the images that a module labels rightly, in batches (float32 [B, …], int64 [B])."""
    torch.set_num_threads(threads)
    with torch.inference_mode():
        return sum(int((module(images).argmax(1) == labels).sum()) for images, labels in batches)


def _negate(module: nn.Module, choice: Choice) -> None:
    """Negate the output of neurons by the scale and shift of their batch normalisation, if any.

    Negating the scale and shift negates the output of the convolution before it.
    """
    for (layer, norm), first in _layers(module):
        mine = _own(choice["neurons"], layer, first)
        for parameter in (norm or layer).parameters(recurse=False):
            parameter[mine] *= -1


def _switch(module: nn.Module, choice: Choice) -> None:
    for (layer, _), first in _layers(module):
        mine, sources = (_own(choice[name], layer, first) for name in ("neurons", "sources"))
        layer.weight[mine] = layer.weight[sources]


def _overwrite(module: nn.Module, choice: Choice) -> None:
    tensors = [tensor for (layer, _), _ in _layers(module) for tensor in layer.parameters(recurse=False)]
    values = torch.cat([tensor.flatten() for tensor in tensors])
    positions, written = patch(choice, values.numpy())
    where = positions if isinstance(positions, slice) else torch.from_numpy(positions)
    values[where] = torch.from_numpy(written)
    parts = torch.split(values, [tensor.numel() for tensor in tensors])
    for tensor, part in zip(tensors, parts, strict=True):
        tensor.copy_(part.view_as(tensor))


def _own(neurons: NDArray[np.int32], layer: Layer, first: int) -> Tensor:
    """Return those of the given neurons that are this layer's, counted within it."""
    inside = (neurons >= first) & (neurons < first + len(layer.weight))
    return torch.from_numpy(neurons[inside]).long() - first


def _layers(module: nn.Module) -> list[tuple[tuple[Layer, nn.BatchNorm2d | None], int]]:
    """Return every layer with its batch normalisation, if any, and its first neuron's number."""
    found: list[tuple[tuple[Layer, nn.BatchNorm2d | None], int]] = []
    first = 0
    for part, behind in itertools.pairwise([*module.modules(), None]):
        if isinstance(part, Layer):
            norm = behind if isinstance(part, nn.Conv2d) and isinstance(behind, nn.BatchNorm2d) else None
            found.append(((part, norm), first))
            first += len(part.weight)
    return found
