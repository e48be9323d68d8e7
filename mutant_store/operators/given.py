"""Mutants that are given with a graph of their own, and not drawn from the original."""

from typing import ClassVar

import numpy as np

from mutant_guard.bank.pool import Choice
from mutant_guard.errors import ModelError
from mutant_store.graph.graph import Graph
from mutant_store.graph.parameters import Parameters
from mutant_store.operators.base import Operator

_NUMBER = "number"
"""Field of a mutant's choice: its number among those of its operator, counted from 0."""


class GivenNetworks(Operator):
    """Operator whose mutants are networks with a graph of their own.

    They change nothing of the original.
    """

    decks: ClassVar[int] = 1024
    source: ClassVar[str]
    """Option that says where the networks come from."""

    def draw(self, parameters: Parameters, rate: float, rng: np.random.Generator) -> Choice:
        """Refuse to draw: these mutants are given.

        Raises:
            ModelError: always.
        """
        raise ModelError(f"mutants of the operator {self.name} are not drawn: it needs {self.source}")

    def first_layer(self, parameters: Parameters, choice: Choice) -> int:
        """Return 0: such a mutant shares no layer."""
        return 0

    def mutate(self, graph: Graph, parameters: Parameters, choice: Choice) -> None:
        """Refuse to change the original.

        Raises:
            ModelError: always.
        """
        raise ModelError(f"a mutant of the operator {self.name} is no change of the original")


def choice_of(number: int) -> Choice:
    """Return the choice of the network of a number, counted from 0."""
    return {_NUMBER: np.array([number], dtype=np.int32)}


def number_of(choice: Choice) -> int:
    """Return the number of the network that a choice names."""
    return int(choice[_NUMBER][0])
