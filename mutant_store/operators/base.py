"""What a mutation operator has to do."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import ceil
from typing import ClassVar

import numpy as np

from mutant_guard.bank.pool import Choice, is_whole, patch
from mutant_store.graph.graph import Graph
from mutant_store.graph.parameters import Parameters

MUTANT_INDEX = "mutant_index"


class Operator(ABC):
    """A way of making mutants, recorded as what differs from the original.

    ``draw`` makes the choice, ``mutate`` applies one to the weights of a stand-alone classifier. Equal choices
    give equal mutants whatever drew them. Implement ``SharedWeights`` or ``OwnWeights``.
    """

    name: ClassVar[str]
    decks: ClassVar[int]
    """Orders requests draw from: many where mutants share weights, few where requests should share mutants."""

    @abstractmethod
    def draw(self, parameters: Parameters, rate: float, rng: np.random.Generator) -> Choice:
        """Draw what one mutant changes; it always differs from the original.

        Raises:
            ModelError: at this rate, or for this classifier, there is nothing to change.
        """

    @abstractmethod
    def population(self, parameters: Parameters) -> str:
        """What the rate is a share of, such as '236 neurons'."""

    @abstractmethod
    def first_layer(self, parameters: Parameters, choice: Choice) -> int:
        """Position of the first layer that the mutant changes; all before it is the original's."""

    @abstractmethod
    def mutate(self, graph: Graph, parameters: Parameters, choice: Choice) -> None:
        """Apply one choice to the weights of a stand-alone classifier, in place."""


class SharedWeights(Operator):
    """An operator whose mutants are the original's layers with something done to their outputs."""

    decks = 1024

    @abstractmethod
    def weave(self, graph: Graph, parameters: Parameters, choices: Sequence[Choice | None]) -> None:
        """Insert nodes that do to each row what ``choices[mutant_index]`` says; None leaves a row the original's.

        A layer that no choice touches is left alone, and no existing tensor gets another meaning: what lies
        before the first touched layer is then computed once an image.
        """


class OwnWeights(Operator):
    """An operator whose mutants have weights of their own.

    A choice is ``positions`` int32 [k] among the ``Parameters``, with ``values`` float32 [k] or ``sources``
    int32 [k], or it is ``values`` float32 [P] alone; see ``patch``.
    """

    decks = 2

    def first_layer(self, parameters: Parameters, choice: Choice) -> int:
        """The layer of the first changed parameter; the first of all where a choice brings every parameter."""
        if is_whole(choice):
            return 0
        return parameters.tensors[int(parameters.tensors_of(choice["positions"]).min())].layer

    def mutate(self, graph: Graph, parameters: Parameters, choice: Choice) -> None:
        """Write the changed parameters over the original's."""
        positions, written = patch(choice, parameters.values)
        values = parameters.values.copy()
        values[positions] = written
        parameters.write(graph, values)


def chosen_count(total: int, rate: float) -> int:
    """⌈total·rate⌉ without the float error that would turn 0.07·100 into 8.

    Raises:
        ValueError: the rate is not in (0, 1].
    """
    if not 0 < rate <= 1:
        raise ValueError(f"the mutation rate must be above 0 and at most 1, got {rate}")
    return ceil(round(total * rate, 9))
