"""Propagation of intervals through a network, in training.

An interval is kept as its middle and its radius. These are bounds in float32 that training makes
tight; they are no proof.

Gowal et al.: On the effectiveness of interval bound propagation for training verifiably robust
models. 2018.
Shi, Wang, Zhang, Yi, Hsieh: Fast certified robust training with short warmup. NeurIPS 2021.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from mutant_guard.errors import ModelError
from mutant_store.networks.tone_curve import ToneCurve

_LAYERS = (nn.Conv2d, nn.Linear)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
_RISING = (nn.ReLU, ToneCurve)
"""Layers of single values that never fall."""


@dataclass(frozen=True, eq=False)
class Intervals:
    """Features of clean images, and intervals that hold those of all images in a box around each.

    Attributes:
        clean: float32 [n, …].
        middle: float32 [n, …], middles of the intervals.
        radius: float32 [n, …], halves of their lengths.
    """

    clean: Tensor
    middle: Tensor
    radius: Tensor

    @staticmethod
    def between(clean: Tensor, lower: Tensor, upper: Tensor) -> "Intervals":
        """Return intervals with these ends, float32 [n, …]."""
        return Intervals(clean, (lower + upper) / 2, (upper - lower) / 2)


def check_layers(network: nn.Module) -> None:
    """Refuse a network through which intervals cannot be propagated.

    Raises:
        ModelError: it is no sequence of convolutions, dense layers, batch normalisations, rectifiers
            tone curves and flattenings that ends in a dense layer.
    """
    known = (*_LAYERS, *_NORMS, *_RISING, nn.Flatten)
    layers = list(network) if isinstance(network, nn.Sequential) else [network]
    strange = sorted({type(layer).__name__ for layer in layers if not isinstance(layer, known)})
    padded = any(isinstance(layer, nn.Conv2d) and layer.padding_mode != "zeros" for layer in layers)
    if strange or padded or not isinstance(layers[-1], nn.Linear):
        found = f"this one has {', '.join(strange)}" if strange else "this one does otherwise"
        raise ModelError(
            "--certified trains a torch.nn.Sequential of Conv2d with zeros around it, Linear, BatchNorm, ReLU and "
            f"Flatten that ends in Linear, and {found}: give such an --architecture, or none"
        )


def initialise(network: nn.Module) -> None:
    """Draw the weights of layers so that intervals neither grow nor shrink on their way.

    Source: Shi et al., section 4.1. Draws are from torch's own generator.
    """
    for layer in network.modules():
        if isinstance(layer, _LAYERS):
            nn.init.normal_(layer.weight, 0, math.sqrt(2 * math.pi) / layer.weight[0].numel())


def propagate(layers: Iterable[nn.Module], found: Intervals) -> Intervals:
    """Propagate features and intervals through layers.

    Batch normalisations in training mode take the statistics of the clean features for both.

    Args:
        layers: layers that ``check_layers`` passes.
        found: features and intervals before them.
    """
    for layer in layers:
        found = _through(layer, found)
    return found


def _through(layer: nn.Module, found: Intervals) -> Intervals:
    clean, middle, radius = found.clean, found.middle, found.radius
    if isinstance(layer, nn.Conv2d):
        clean, middle = layer(torch.cat([clean, middle])).split(len(clean))
        spread = layer.weight.abs()
        radius = functional.conv2d(
            radius, spread, None, layer.stride, layer.padding, layer.dilation, layer.groups
        )
    elif isinstance(layer, nn.Linear):
        clean, middle = layer(torch.cat([clean, middle])).split(len(clean))
        radius = functional.linear(radius, layer.weight.abs())
    elif isinstance(layer, _NORMS):
        clean, factor, offset = _normalised(layer, clean)
        middle, radius = middle * factor + offset, radius * factor.abs()
    elif isinstance(layer, _RISING):
        return Intervals.between(layer(clean), layer(middle - radius), layer(middle + radius))
    else:
        clean, middle, radius = layer(clean), layer(middle), layer(radius)
    return Intervals(clean, middle, radius)


def _normalised(layer: nn.Module, clean: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return normalised clean features, and factor and offset of the normalisation, [1, C, …]."""
    assert isinstance(layer, _NORMS)  # noqa: S101 - the caller looked
    axes = [axis for axis in range(clean.ndim) if axis != 1]
    if layer.training or layer.running_mean is None or layer.running_var is None:
        mean, variance = clean.mean(axes), clean.var(axes, unbiased=False)
    else:
        mean, variance = layer.running_mean, layer.running_var
    factor = (variance + layer.eps).rsqrt()
    if layer.affine:
        factor = factor * layer.weight
    offset = -mean * factor
    if layer.affine:
        offset = offset + layer.bias
    shape = [-1 if axis == 1 else 1 for axis in range(clean.ndim)]
    return layer(clean), factor.view(shape), offset.view(shape)


def worst_logits(
    network: nn.Sequential, clean: Tensor, lower: Tensor, upper: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor]:
    """Return logits of clean images, and the worst that logits can be within boxes around them.

    The last layer is taken together with the difference of two logits.

    Args:
        network: network that ``check_layers`` passes.
        clean: float32 [n, C, H, W], inputs of the network.
        lower: least values of the inputs in the boxes, of the same shape.
        upper: largest values of the inputs in the boxes, of the same shape.
        labels: int64 [n].

    Returns:
        Logits float32 [n, classes], and float32 [n, classes] upper bounds of every class's lead over
        the label; 0 at the label.
    """
    found = propagate(list(network)[:-1], Intervals.between(clean, lower, upper))
    last = network[-1]
    assert isinstance(last, nn.Linear)  # noqa: S101 - check_layers saw it
    leads = last.weight[None] - last.weight[labels][:, None]  # [n, classes, units]
    worst = torch.einsum("nku,nu->nk", leads, found.middle)
    worst = worst + torch.einsum("nku,nu->nk", leads.abs(), found.radius)
    if last.bias is not None:
        worst = worst + last.bias - last.bias[labels][:, None]
    return last(found.clean), worst
