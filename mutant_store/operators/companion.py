"""Operator of mutants that are other classifiers of the same classes; see ``companions``."""

from typing import ClassVar

import numpy as np

from mutant_guard.bank.pool import Choice
from mutant_guard.errors import ModelError
from mutant_guard.store.reader import COMPANION
from mutant_store.graph.graph import Graph
from mutant_store.graph.parameters import Parameters
from mutant_store.operators.base import Operator

NUMBER = "number"
"""Field of a companion's choice: its number among the companions, counted from 0."""


class CompanionOperator(Operator):
    """Operator whose mutants are classifiers that somebody else trained.

    They change nothing of the original: each has a graph, a size and preprocessing of its own. What
    is aimed at the original seldom misleads them in the same way. (One independent auxiliary
    network as a detector: Tan et al., PID, arXiv 2506.03765.)
    """

    name: ClassVar[str] = COMPANION
    decks: ClassVar[int] = 1024

    def draw(self, parameters: Parameters, rate: float, rng: np.random.Generator) -> Choice:
        """Refuse to draw: these mutants are given.

        Raises:
            ModelError: always.
        """
        raise ModelError("mutants of the operator companion are given and not drawn: it needs --companion")

    def population(self, parameters: Parameters) -> str:
        """Return the text for what companions are made from."""
        return "other classifiers"

    def first_layer(self, parameters: Parameters, choice: Choice) -> int:
        """Return 0: a companion shares no layer."""
        return 0

    def mutate(self, graph: Graph, parameters: Parameters, choice: Choice) -> None:
        """Refuse to change the original.

        Raises:
            ModelError: always.
        """
        raise ModelError("a companion is no change of the original")


def choice_of(number: int) -> Choice:
    """Return the choice of the companion of a number."""
    return {NUMBER: np.array([number], dtype=np.int32)}


def number_of(choice: Choice) -> int:
    """Return the number of the companion that a choice names."""
    return int(choice[NUMBER][0])
