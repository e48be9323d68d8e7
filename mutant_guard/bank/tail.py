"""What a bank knows of its tails. Light: the server imports it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mutant_guard.bank.session import FloatArray, Model

Features = Mapping[str, FloatArray]
"""Arrays [R, …] by name: what the prefix computed for R images."""


@dataclass(frozen=True)
class TailRecord:
    """A tail as it is stored: its graph, whether weights are shared, its inputs from the prefix, its mutants."""

    model: Model
    shared: bool
    features: Sequence[str]
    mutants: Sequence[int]


class Tail(Protocol):
    """The loaded part of a bank behind one entry point; a run of its first ``graphs`` mutants runs all its graphs.

    Runs in the thread that calls, and in several at a time.
    """

    graphs: int

    def scores(
        self, features: Features, image_index: NDArray[np.int64], mutants: NDArray[np.int64]
    ) -> FloatArray:
        """Class scores float32 [B, classes] of rows (image, mutant), mutants counted within the tail from 0."""
        ...
