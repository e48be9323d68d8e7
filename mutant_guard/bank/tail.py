"""Tails of a bank, as stored and as loaded.

Its imports are light: the server loads it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mutant_guard.bank.session import FloatArray, Model

Features = Mapping[str, FloatArray]
"""Arrays [R, …] by name for R images: what the prefix computed, and the images' other views."""


@dataclass(frozen=True)
class TailRecord:
    """Tail as it is stored.

    Attributes:
        model: graph of the tail.
        shared: whether its mutants share the original's weights.
        features: names of its inputs from the prefix, or of views (see ``views``).
        mutants: numbers of its mutants.
        own_graph: whether it is a classifier of its own, the graph of one mutant.
    """

    model: Model
    shared: bool
    features: Sequence[str]
    mutants: Sequence[int]
    own_graph: bool = False


class Tail(Protocol):
    """Loaded part of a bank behind one entry point.

    It runs in the calling thread, and in several threads at a time.

    Attributes:
        graphs: number of its graphs; a run of the first ``graphs`` mutants runs all of them.
        row_bytes: bytes of activations that a run takes for each row; 0 where they are not known.
    """

    graphs: int
    row_bytes: int

    def scores(
        self, features: Features, image_index: NDArray[np.int64], mutants: NDArray[np.int64]
    ) -> FloatArray:
        """Return class scores float32 [B, classes] of rows (image, mutant).

        Args:
            features: arrays of the prefix.
            image_index: int64 [B], row of the features for each row.
            mutants: int64 [B], mutants counted within the tail from 0.
        """
        ...
