"""The four mutation operators on a torch module, independent of how ONNX files are mutated.

Layers are the module's convolutions and dense layers in the order they are registered in, which
must be the order they run in. Neurons are counted over the layers, and so are parameters: each
layer's weights neuron by neuron, then its bias. Batch normalisation registered right behind a
convolution belongs to it.
"""

import copy
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

Choice = Mapping[str, NDArray[Any]]
Layer = nn.Conv1d | nn.Conv2d | nn.Linear


def negated(module: nn.Module, choice: Choice) -> nn.Module:
    """Apply NAI: negate the weights and biases of ``neurons``.

    Where batch normalisation belongs to a layer, its scale and shift are negated instead, which
    gives the same output.
    """
    mutant = copy.deepcopy(module)
    parts = list(mutant.modules())
    with torch.no_grad():
        for layer, first in _numbered(mutant):
            following = parts[parts.index(layer) + 1] if layer is not parts[-1] else None
            normalised = isinstance(layer, nn.Conv2d) and isinstance(following, nn.BatchNorm2d)
            target = following if normalised and following is not None else layer
            for neuron in choice["neurons"].tolist():
                if first <= neuron < first + len(layer.weight):
                    for parameter in target.parameters(recurse=False):
                        parameter[neuron - first] *= -1
    return mutant


def switched(module: nn.Module, choice: Choice) -> nn.Module:
    """Apply NS: give each of ``neurons`` the original weights of its ``sources``; biases stay."""
    mutant = folded(module)
    pairs = list(zip(choice["neurons"].tolist(), choice["sources"].tolist(), strict=True))
    with torch.no_grad():
        for layer, first in _numbered(mutant):
            original = layer.weight.clone()
            for neuron, source in pairs:
                if first <= neuron < first + len(original):
                    layer.weight[neuron - first] = original[source - first]
    return mutant


def fuzzed(module: nn.Module, choice: Choice) -> nn.Module:
    """Apply GF: set the parameters at ``positions`` to ``values``."""
    mutant = folded(module)
    values = parameters(mutant)
    values[torch.from_numpy(choice["positions"]).long()] = torch.from_numpy(choice["values"])
    return _filled(mutant, values)


def shuffled(module: nn.Module, choice: Choice) -> nn.Module:
    """Apply WS: set the parameters at ``positions`` to the original ones at ``sources``."""
    mutant = folded(module)
    values, original = parameters(mutant), parameters(mutant)
    values[torch.from_numpy(choice["positions"]).long()] = original[
        torch.from_numpy(choice["sources"]).long()
    ]
    return _filled(mutant, values)


REFERENCES: dict[str, Callable[[nn.Module, Choice], nn.Module]] = {
    "gf": fuzzed,
    "nai": negated,
    "ns": switched,
    "ws": shuffled,
}


def folded(module: nn.Module) -> nn.Module:
    """Copy a module and fold batch normalisation into its convolutions, by torch's own utility."""
    copied = copy.deepcopy(module)
    for parent in list(copied.modules()):
        for (name, child), (next_name, following) in itertools.pairwise(list(parent.named_children())):
            if isinstance(child, nn.Conv2d) and isinstance(following, nn.BatchNorm2d):
                setattr(parent, name, fuse_conv_bn_eval(child, following))
                setattr(parent, next_name, nn.Identity())
    return copied


def weighted(module: nn.Module) -> list[Layer]:
    """Return the module's layers."""
    return [part for part in module.modules() if isinstance(part, Layer)]


def parameters(module: nn.Module) -> torch.Tensor:
    """Return a copy of all weights and biases of a folded module's layers, float32 [P]."""
    return torch.cat([part.detach().flatten() for layer in weighted(module) for part in _tensors(layer)])


def _filled(module: nn.Module, values: torch.Tensor) -> nn.Module:
    start = 0
    with torch.no_grad():
        for tensor in [tensor for layer in weighted(module) for tensor in _tensors(layer)]:
            tensor.copy_(values[start : start + tensor.numel()].view_as(tensor))
            start += tensor.numel()
    assert start == len(values)
    return module


def _numbered(module: nn.Module) -> Iterator[tuple[Layer, int]]:
    """Yield every layer with the number of its first neuron."""
    first = 0
    for layer in weighted(module):
        yield layer, first
        first += len(layer.weight)


def _tensors(layer: Layer) -> list[torch.Tensor]:
    return [layer.weight] if layer.bias is None else [layer.weight, layer.bias]
