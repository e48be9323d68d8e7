"""Boundaries of a sequential test: the evidence that decides after n mutants, as two arrays."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Boundaries:
    """Boundaries at which a test decides.

    Every test on summed evidence is one of these, so one fast code runs them all. After n mutants
    an input is normal where its label changes are at most ``normal_at_most[n]``, adversarial where
    they are at least ``adversarial_at_least[n]``; between the two the test goes on, up to
    ``mutants``. Where evidence is finer than a label change, both are in parts of it, and a mutant
    can give ``unit`` parts at most.

    Attributes:
        normal_at_most: int64 [mutants + 1], never decreasing; −1 where no input is normal yet.
        adversarial_at_least: int64 [mutants + 1]; more than the evidence of n mutants where no
            input is adversarial yet. One more label change never makes an input less adversarial:
            n·unit − adversarial_at_least[n] never decreases.
        unit: the most evidence of one mutant, 1 where label changes are counted.

    Raises:
        ValueError: the arrays do not fit each other, find an input normal before the first mutant,
            or are not monotone.
    """

    normal_at_most: Counts
    adversarial_at_least: Counts
    unit: int = 1

    def __post_init__(self) -> None:
        normal, adversarial = self.normal_at_most, self.adversarial_at_least
        if normal.ndim != 1 or normal.shape != adversarial.shape or normal.size < 2:
            raise ValueError(
                f"need two rows of at least 2 numbers, got {normal.shape} and {adversarial.shape}"
            )
        counting = self.unit == 1 and adversarial[0] != 1  # a row with no label change yet is written 0 + 1
        if normal[0] != -1 or adversarial[0] < 1 or counting:
            raise ValueError(
                "before the first mutant no input is normal, and none adversarial without evidence"
            )
        if (normal >= adversarial).any():
            raise ValueError("the same label changes cannot be both normal and adversarial")
        if (np.diff(normal) < 0).any() or (np.diff(self._unchanged) < 0).any():
            raise ValueError("a decision must not be lost by more evidence of the same kind")

    @property
    def mutants(self) -> int:
        """Most mutants that the test uses."""
        return self.normal_at_most.size - 1

    @cached_property
    def _unchanged(self) -> Counts:
        """Most unchanged labels with which an input is adversarial, negative where none is."""
        most = self.unit * np.arange(self.adversarial_at_least.size)
        return np.asarray(most - self.adversarial_at_least)

    def is_normal(self, changes: Counts, mutants: Counts) -> NDArray[np.bool_]:
        """Check where ``changes`` label changes among ``mutants`` mutants are normal.

        Args:
            changes: int64 array, evidence so far.
            mutants: int64 array of the same shape, number of mutants.
        """
        return np.asarray(changes <= self.normal_at_most[mutants])

    def is_adversarial(self, changes: Counts, mutants: Counts) -> NDArray[np.bool_]:
        """Check where ``changes`` label changes among ``mutants`` mutants are adversarial.

        Args:
            changes: int64 array, evidence so far.
            mutants: int64 array of the same shape, number of mutants.
        """
        return np.asarray(changes >= self.adversarial_at_least[mutants])

    def look_ahead(self, changes: Counts, mutants: Counts) -> Counts:
        """Return the least number of further mutants that can decide an undecided input.

        It is at least 1. The nearest decision is the one that all further labels agree on: none
        changes, or all do. Where neither is possible any more, it is the rest of the test.
        """
        to_adversarial = np.searchsorted(self._unchanged, self.unit * mutants - changes) - mutants
        return np.asarray(np.minimum(self.clearing(changes, mutants), np.maximum(to_adversarial, 1)))

    def clearing(self, changes: Counts, mutants: Counts) -> Counts:
        """Return the least number of further mutants after which an undecided input can be normal.

        It is at least 1. Where the input cannot be normal any more, it is the rest of the test.
        """
        to_normal = np.searchsorted(self.normal_at_most, changes)
        return np.maximum(np.minimum(to_normal, self.mutants) - mutants, 1)

    def until(self, mutants: int) -> "Boundaries":
        """Return the same test, ended after this many mutants.

        Raises:
            ValueError: fewer than one mutant.
        """
        if mutants < 1:
            raise ValueError(f"a test needs at least one mutant, got {mutants}")
        return Boundaries(
            self.normal_at_most[: mutants + 1], self.adversarial_at_least[: mutants + 1], self.unit
        )
