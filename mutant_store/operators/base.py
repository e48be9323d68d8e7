"""What a mutation operator has to do."""

from abc import ABC, abstractmethod
from math import ceil
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from mutant_store.graph import Graph
from mutant_store.neurons import Layer

Choice = NDArray[np.int32]

MUTANT_INDEX = "mutant_index"


class Operator(ABC):
    """A way of making mutants, recorded as what differs from the original.

    ``draw`` makes the choice, ``mutate`` applies one choice to the weights, ``weave`` makes one graph that
    applies any of a pool of choices by row. Equal choices give equal mutants whatever drew them.
    """

    name: ClassVar[str]
    decks: ClassVar[int]
    """Orders requests draw from: many where mutants share weights, few where requests should share mutants."""

    @abstractmethod
    def draw(self, layers: list[Layer], rate: float, rng: np.random.Generator) -> Choice:
        """Draw what one mutant changes: int32 [k], k the same for every mutant of a pool."""

    @abstractmethod
    def mutate(self, graph: Graph, layers: list[Layer], choice: Choice) -> None:
        """Apply one choice to the weights of a stand-alone classifier, in place."""

    @abstractmethod
    def weave(self, graph: Graph, layers: list[Layer], pool: NDArray[np.int32]) -> None:
        """Insert nodes that apply choice ``mutant_index − 1`` of pool int32 [M, k] to each row; row 0 none."""


def chosen_count(total: int, rate: float) -> int:
    """⌈total·rate⌉ without the float error that would turn 0.07·100 into 8.

    Raises:
        ValueError: the rate is not in (0, 1].
    """
    if not 0 < rate <= 1:
        raise ValueError(f"the mutation rate must be above 0 and at most 1, got {rate}")
    return ceil(round(total * rate, 9))
