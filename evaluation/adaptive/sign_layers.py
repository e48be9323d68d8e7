"""A network's layers in the order they run, each ready to have its neurons negated.

Batch normalisation is folded.
"""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mutant_guard.errors import ModelError

Layer = nn.Conv2d | nn.Linear


@dataclass(frozen=True, eq=False)
class SignLayer:
    """Layer and the place of its neurons among all of the network.

    Attributes:
        module: the convolution or the dense layer, batch normalisation folded into it.
        first: number of its first neuron.
        neurons: number of its neurons.
    """

    module: Layer
    first: int
    neurons: int


def folded_copy(network: nn.Module, images: Tensor) -> tuple[nn.Module, list[SignLayer]]:
    """Return a copy for inference alone, and its layers.

    The copy has no gradients of weights, and batch normalisation is folded where it follows a
    convolution. The layers are numbered in the order in which they first run, which is that of an
    exported ONNX graph.

    Args:
        network: float32 network of ``nn.Conv2d``, ``nn.Linear`` and layers without neurons.
        images: float32 [1, C, H, W], normalised, to trace the order with.

    Raises:
        ModelError: no convolution or dense layer runs.
    """
    copied = copy.deepcopy(network).eval().requires_grad_(requires_grad=False)
    order, norms = _trace(copied, images)
    if not order:
        raise ModelError("the network runs no nn.Conv2d or nn.Linear, so there is nothing to mutate")
    names = {module: name for name, module in copied.named_modules()}
    layers, first = [], 0
    for layer in order:
        folded: Layer = layer
        if isinstance(layer, nn.Conv2d) and layer in norms:
            folded = fuse_conv_bn_eval(layer, norms[layer]).requires_grad_(requires_grad=False)
            _replace(copied, names[layer], folded)
            _replace(copied, names[norms[layer]], nn.Identity())
        layers.append(SignLayer(folded, first, len(folded.weight)))
        first += len(folded.weight)
    return copied, layers


def _trace(network: nn.Module, images: Tensor) -> tuple[list[Layer], dict[nn.Module, nn.BatchNorm2d]]:
    order: list[Layer] = []
    norms: dict[nn.Module, nn.BatchNorm2d] = {}
    outputs: list[tuple[Tensor, nn.Conv2d]] = []  # kept alive, so that identity means the same tensor

    def seen(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(module, Layer) and module not in order:
            order.append(module)
        if isinstance(module, nn.Conv2d):
            outputs.append((output, module))
        elif isinstance(module, nn.BatchNorm2d):
            norms.update({layer: module for made, layer in outputs if made is inputs[0]})

    hooked = [part for part in network.modules() if isinstance(part, (*Layer.__args__, nn.BatchNorm2d))]
    handles = [part.register_forward_hook(seen) for part in hooked]
    with torch.no_grad():
        network(images)
    for handle in handles:
        handle.remove()
    return order, norms


def _replace(network: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, own = name.rpartition(".")
    setattr(network.get_submodule(parent), own, module)
