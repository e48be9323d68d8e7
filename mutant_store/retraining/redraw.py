"""Redraw of a share of a network's neurons, which makes the network forget them."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mutant_guard.errors import ModelError
from mutant_store.networks.conversion import ConvertedNetwork
from mutant_store.operators.base import chosen_count

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


@dataclass(frozen=True)
class _Layer:
    """Entries of a layer in the state of a network.

    Attributes:
        name: name of the layer.
        entries: entries, the weight first, each with the axis that counts neurons.
    """

    name: str
    entries: list[tuple[str, int]]


def redraw(
    network: nn.Module, fresh: nn.Module, share: float, probe: Tensor, generator: torch.Generator
) -> dict[str, list[int]]:
    """Give ⌈Nγ⌉ of the N neurons of every layer the weights of an untrained network.

    Layers are convolutions and dense layers. A neuron is an output channel or an output. Its bias
    is redrawn with it, and so is its part of the batch normalisation that reads the layer,
    statistics included.

    Args:
        network: network to redraw, changed in place.
        fresh: another network of the same architecture, freshly initialised.
        share: γ, from 0 to 1.
        probe: a batch that the network takes, on which batch normalisations are matched to layers.
        generator: source of the choice of neurons, on the CPU.

    Returns:
        The chosen neurons, ascending, by the name of the layer.

    Raises:
        ModelError: the network has no such layer.
    """
    state, source = network.state_dict(), fresh.state_dict()  # they share memory with the networks
    chosen = {}
    for layer in _layers(network, probe):
        weight, axis = layer.entries[0]
        total = state[weight].shape[axis]
        count = chosen_count(total, share) if share else 0
        picked = torch.randperm(total, generator=generator)[:count].sort().values
        for name, axis in layer.entries:
            state[name].index_copy_(axis, picked, source[name].index_select(axis, picked))
        chosen[layer.name] = picked.tolist()
    if not chosen:
        raise ModelError("this network has neither convolutions nor dense layers to train again")
    return chosen


def initialise(fresh: nn.Module, original: nn.Module) -> None:
    """Draw the weights of a newly made network anew where they are those of the original.

    Networks that load trained weights when they are made are initialised as torch does it, layer by
    layer. Converted networks take weights from the normal distribution of the layer's own, which
    fits whatever was folded into them, and biases of 0.

    Args:
        fresh: the newly made network; changed in place.
        original: the original.
    """
    if isinstance(fresh, ConvertedNetwork):
        state = fresh.state_dict()
        for (weight, _), *biases in fresh.layer_entries().values():
            state[weight].normal_(std=float(state[weight].std(unbiased=False)))
            for bias, _ in biases:
                state[bias].zero_()
        return
    for name, module in fresh.named_modules():
        if isinstance(module, _WEIGHTED + _NORMS) and _same(module, original.get_submodule(name)):
            module.reset_parameters()


def _same(one: nn.Module, other: nn.Module) -> bool:
    states = one.state_dict(), other.state_dict()
    return all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def _layers(network: nn.Module, probe: Tensor) -> Iterator[_Layer]:
    if isinstance(network, ConvertedNetwork):
        for name, entries in network.layer_entries().items():
            yield _Layer(name, entries)
        return
    norms = _norms(network, probe)
    state = network.state_dict()
    for name, module in network.named_modules():
        if not isinstance(module, _WEIGHTED):
            continue
        found = [_entry(name, part) for part in ("weight", "bias")]
        if name in norms:
            found += [_entry(norms[name], part) for part in ("weight", "bias", "running_mean", "running_var")]
        yield _Layer(name, [(entry, 0) for entry in found if entry in state])


def _entry(module: str, part: str) -> str:
    return f"{module}.{part}" if module else part


@torch.no_grad()
def _norms(network: nn.Module, probe: Tensor) -> dict[str, str]:
    """Return layer → the batch normalisation that reads its output, by name.

    They are found by running the probe through the network.
    """
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
