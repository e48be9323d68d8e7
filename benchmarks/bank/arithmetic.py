"""Multiply-adds that a network's layers take, and that a bank really performs."""

from collections.abc import Sequence

from mutant_store.bank.builder import Bank
from mutant_store.graph.parameters import Parameters
from mutant_store.operators import OPERATORS


def of_layers(parameters: Parameters, first: int = 0, *, product_of_first: bool = True) -> int:
    """Return the multiply-adds a row of the layers from ``first`` on: outputs × fan-in.

    Biases and activations are not counted.

    Args:
        parameters: parameters of layers whose outputs were measured.
        first: position of the first layer that counts.
        product_of_first: whether that layer's own product is performed too.
    """
    tensors = {tensor.name: tensor for tensor in parameters.tensors}
    total = 0
    for layer in parameters.layers[first if product_of_first else first + 1 :]:
        weight = tensors[layer.weight]
        fan_in = (weight.stop - weight.start) // layer.neurons
        total += fan_in * sum(use.outputs for use in layer.uses)
    return total


def of_bank(bank: Bank, images: int, mutants: Sequence[int]) -> int:
    """Return the multiply-adds of a bank for every pair of an image and a mutant.

    The prefix's are included. A tail's entry is the first layer that any of its mutants changes.
    Where weights are shared, the prefix has done that layer's product.

    Args:
        bank: bank of mutants.
        images: number of images.
        mutants: numbers of the mutants.
    """
    parameters = bank.parameters
    total = of_layers(parameters)
    for tail in bank.tails:
        entry = min(
            OPERATORS[mutant.operator].first_layer(parameters, mutant.choice)
            for mutant in (bank.pool[number - 1] for number in tail.mutants)
        )
        rows = len(set(tail.mutants).intersection(mutants))
        total += rows * of_layers(parameters, entry, product_of_first=not tail.shared)
    return images * total
