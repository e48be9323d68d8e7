"""Forgetting a share of a network's neurons."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from mutant_store.errors import ModelError
from mutant_store.operators.base import chosen_count

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


def redraw(
    network: nn.Module, fresh: nn.Module, share: float, probe: Tensor, generator: torch.Generator
) -> dict[str, list[int]]:
    """Give ⌈Nγ⌉ of the N neurons of every convolution and dense layer the weights of an untrained network.

    A neuron is an output channel or an output; its bias and its part of the batch normalisation that reads the
    layer, statistics included, are redrawn with it.

    Args:
        network: changed in place.
        fresh: another of the same architecture, freshly initialised.
        share: γ, above 0 and at most 1.
        probe: a batch the network takes, on which batch normalisations are matched to layers.
        generator: chooses the neurons; on the CPU.

    Returns:
        The chosen neurons by the name of the layer.

    Raises:
        ModelError: the network has no such layer.
    """
    norms = _norms(network, probe)
    chosen = {}
    for name, layer in _layers(network):
        total = len(layer.weight)
        picked = torch.randperm(total, generator=generator)[: chosen_count(total, share)]
        source = fresh.get_submodule(name)
        _copy(layer, source, ("weight", "bias"), picked)
        if (norm := norms.get(name)) is not None:
            parts = ("weight", "bias", "running_mean", "running_var")
            _copy(network.get_submodule(norm), fresh.get_submodule(norm), parts, picked)
        chosen[name] = sorted(picked.tolist())
    if not chosen:
        raise ModelError("this network has neither convolutions nor dense layers to train again")
    return chosen


def initialise(network: nn.Module, original: nn.Module) -> None:
    """Where a freshly made network holds the very weights of the original, draw them anew as for ReLU.

    He, Zhang, Ren, Sun: Delving deep into rectifiers. ICCV 2015.

    Networks that load trained weights when they are made, and converted ones, have no initialisation of their own.
    """
    for name, layer in _layers(network):
        if torch.equal(layer.weight, original.get_submodule(name).get_parameter("weight")):
            with torch.no_grad():
                layer.weight.normal_(std=math.sqrt(2 / layer.weight[0].numel()))
                if layer.bias is not None:
                    layer.bias.zero_()


def _layers(network: nn.Module) -> Iterator[tuple[str, nn.Conv2d | nn.Linear]]:
    for name, module in network.named_modules():
        if isinstance(module, _WEIGHTED):
            yield name, module  # type: ignore[misc]  # all of them have weight and bias, which is what is read


def _copy(layer: nn.Module, source: nn.Module, names: tuple[str, ...], rows: Tensor) -> None:
    with torch.no_grad():
        for name in names:
            mine, other = getattr(layer, name, None), getattr(source, name, None)
            if mine is not None and other is not None:
                mine[rows] = other[rows]


@torch.no_grad()
def _norms(network: nn.Module, probe: Tensor) -> dict[str, str]:
    """Layer → the batch normalisation that reads its output, by name; found by running the probe through."""
    outputs: list[tuple[str, Tensor]] = []  # kept alive, so that no two are the same object
    found: dict[str, str] = {}
    hooks = []
    for name, module in network.named_modules():
        if isinstance(module, _WEIGHTED):

            def keep(_: nn.Module, __: object, output: Tensor, name: str = name) -> None:
                outputs.append((name, output))

            hooks.append(module.register_forward_hook(keep))
        elif isinstance(module, _NORMS):

            def match(_: nn.Module, inputs: tuple[Tensor, ...], name: str = name) -> None:
                found.update({layer: name for layer, output in outputs if output is inputs[0]})

            hooks.append(module.register_forward_pre_hook(match))
    training = network.training
    network.eval()(probe)
    network.train(training)
    for hook in hooks:
        hook.remove()
    return found
