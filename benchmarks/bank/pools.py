"""Pools of mutants of a network, drawn as a build draws them and not filtered."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from benchmarks.bank.networks import Network
from mutant_guard.bank.pool import Mutant
from mutant_store.bank.builder import Bank
from mutant_store.bank.export import Mutants
from mutant_store.graph.parameters import Parameters
from mutant_store.operators import OPERATORS

_LARGE = ("resnet20", "googlenet")


@dataclass(frozen=True, eq=False)
class Pool:
    """Mutants of one operator at one rate, and the bank that serves them."""

    network: Network
    operator: str
    rate: float
    mutants: list[Mutant]

    @cached_property
    def bank(self) -> Bank:
        """Bank of the mutants."""
        return self.network.builder.build(self.mutants)

    @property
    def key(self) -> str:
        """Start of the names of the pool's figures."""
        return f"{self.operator}_{self.network.key}"

    @cached_property
    def stand_alone(self) -> Mutants:
        """Every mutant as a plain ONNX classifier."""
        classifier, layers = self.network.classifier, self.network.builder.parameters.layers
        return Mutants(
            classifier.model,
            [layer.name for layer in layers],
            self.mutants,
            classifier.input_name,
            classifier.output_name,
        )


def draw_pool(network: Network, operator: str, mutants: int) -> Pool:
    """Draw this many mutants at the operator's rate for the network, the same ones every time."""
    rate = rate_of(network.name, operator)
    parameters = network.builder.parameters
    return Pool(
        network, operator, rate, [draw(parameters, operator, rate, number) for number in range(mutants)]
    )


def draw(parameters: Parameters, operator: str, rate: float, number: int) -> Mutant:
    """Draw candidate ``number`` of a build with seed 0."""
    rng = np.random.default_rng([0, number])
    return Mutant(operator, OPERATORS[operator].draw(parameters, rate, rng))


def rate_of(network: str, operator: str) -> float:
    """Return the paper's rate: 0.05 on small networks and 0.005 on large ones.

    NS has 0.05 on all: at 0.005 it would find no layer to choose two neurons in.
    """
    return 0.005 if network in _LARGE and operator != "ns" else 0.05
