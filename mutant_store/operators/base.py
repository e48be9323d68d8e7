"""Interface of a mutation operator."""

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
    """Way of making mutants, each recorded as what differs from the original.

    ``draw`` makes the choice, ``mutate`` applies one to the weights of a stand-alone classifier.
    Equal choices give equal mutants whatever drew them. Implement ``SharedWeights`` or
    ``OwnWeights``.
    """

    name: ClassVar[str]
    decks: ClassVar[int]
    """Number of orders that requests draw from.

    It is large where mutants share weights, and small where requests should share mutants.
    """

    @abstractmethod
    def draw(self, parameters: Parameters, rate: float, rng: np.random.Generator) -> Choice:
        """Draw what one mutant changes; the mutant always differs from the original.

        Args:
            parameters: parameters of the layers to mutate.
            rate: mutation rate γ, above 0 and at most 1.
            rng: source of randomness.

        Raises:
            ModelError: at this rate, or for this classifier, there is nothing to change.
        """

    @abstractmethod
    def population(self, parameters: Parameters) -> str:
        """Return what the rate is a share of, such as '236 neurons'."""

    @abstractmethod
    def first_layer(self, parameters: Parameters, choice: Choice) -> int:
        """Return the position of the first layer that the mutant changes.

        All layers before it are the original's.
        """

    @abstractmethod
    def mutate(self, graph: Graph, parameters: Parameters, choice: Choice) -> None:
        """Apply one choice to the weights of a stand-alone classifier, in place."""


class SharedWeights(Operator):
    """Operator whose mutants are the original's layers with something done to their outputs."""

    decks = 1024

    @abstractmethod
    def weave(self, graph: Graph, parameters: Parameters, choices: Sequence[Choice | None]) -> None:
        """Insert nodes that do to each row what ``choices[mutant_index]`` says.

        A choice of None leaves a row the original's. A layer that no choice touches is left alone,
        and no existing tensor gets another meaning: whatever lies before the first touched layer is
        then computed once per image.
        """


class OwnWeights(Operator):
    """Operator whose mutants have weights of their own.

    A choice is ``positions`` int32 [k] among the ``Parameters``, with ``values`` float32 [k] or
    ``sources`` int32 [k], or it is ``values`` float32 [P] alone; see ``patch``.
    """

    decks = 2

    def first_layer(self, parameters: Parameters, choice: Choice) -> int:
        """Return the position of the layer of the first changed parameter.

        It is 0 where a choice brings every parameter.
        """
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
    """Return ⌈total·rate⌉ without the float error that would turn 0.07·100 into 8.

    Raises:
        ValueError: the rate is not in (0, 1].
    """
    if not 0 < rate <= 1:
        raise ValueError(f"the mutation rate must be above 0 and at most 1, got {rate}")
    return ceil(round(total * rate, 9))
