"""Recorded label changes: what calibration and simulation work on."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detection.boundaries import Counts
from detection.label_change import label_change_rate


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """Label changes of images over the whole pool.

    Attributes:
        changes: bool [images, mutants], True where the mutant's label differs from the original's.
        correct: bool [images], True where the original's label is the true one.
    """

    changes: NDArray[np.bool_]
    correct: NDArray[np.bool_]

    @property
    def pool(self) -> int:
        """Number of mutants."""
        return int(self.changes.shape[1])

    @property
    def counts(self) -> Counts:
        """Label changes of every image over the whole pool, int64 [images]."""
        return np.asarray(self.changes.sum(axis=1, dtype=np.int64))

    @property
    def rates(self) -> NDArray[np.float64]:
        """Label change rate of every image over the whole pool, float64 [images]."""
        return label_change_rate(self.changes)

    def only_correct(self) -> "Recording":
        """The images the original gets right."""
        return Recording(self.changes[self.correct], self.correct[self.correct])

    def shuffled(self, seed: int | list[int]) -> NDArray[np.bool_]:
        """The label changes as requests meet them, each image in a random order of its own; bool [images, mutants]."""
        return np.random.default_rng(seed).permuted(self.changes, axis=1)
