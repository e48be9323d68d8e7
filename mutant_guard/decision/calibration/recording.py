"""Recorded answers of mutants, the data of calibration and simulation."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mutant_guard.decision.evidence.kinds import Doubts
from mutant_guard.decision.evidence.label_change import label_change_rate
from mutant_guard.decision.sequential.boundaries import Counts
from mutant_guard.decision.sequential.policies import Policy

Places = NDArray[np.int64] | NDArray[np.bool_] | slice


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """Label changes of images over the whole pool, and the doubts of a pool with soft evidence.

    Attributes:
        changes: bool [images, mutants], True where the mutant's label differs from the original's.
        correct: bool [images], True where the original's label is the true one.
        doubts: int32 [images, mutants], 1 − p(label of the original) in units of
            ``decision.evidence.kinds``, or None.
        own_doubts: int32 [images], the original's own evidence in these units, or None.
    """

    changes: NDArray[np.bool_]
    correct: NDArray[np.bool_]
    doubts: NDArray[np.int32] | None = None
    own_doubts: NDArray[np.int32] | None = None

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

    def evidence(self, policy: Policy) -> tuple[NDArray[np.bool_] | NDArray[np.int32], Counts]:
        """Return the evidence that a policy adds up.

        Returns:
            Evidence of the mutants [images, mutants], and evidence before the first of them, int64
            [images].

        Raises:
            ValueError: the policy needs doubts and none were recorded.
        """
        if not isinstance(policy.evidence, Doubts):
            return self.changes, np.zeros(len(self.changes), dtype=np.int64)
        if self.doubts is None or self.own_doubts is None:
            raise ValueError(f"policy '{policy.name}' adds up doubts and none were recorded")
        return self.doubts, policy.evidence.weighted(self.own_doubts)

    def part(self, places: Places) -> "Recording":
        """Return the recording of the images at these places."""
        soft = (None if kept is None else kept[places] for kept in (self.doubts, self.own_doubts))
        return Recording(self.changes[places], self.correct[places], *soft)

    def only_correct(self) -> "Recording":
        """Return the recording of the images that the original classifies correctly."""
        return self.part(self.correct)

    def in_order(self, mutants: NDArray[np.integer[Any]]) -> "Recording":
        """Return a recording with every image's mutants in an order of its own.

        Args:
            mutants: integers [images, mutants], mutants counted from 0.
        """
        return Recording(
            np.take_along_axis(self.changes, mutants, axis=1),
            self.correct,
            None if self.doubts is None else np.take_along_axis(self.doubts, mutants, axis=1),
            self.own_doubts,
        )

    def reordered(self, seed: int | list[int], ranks: Sequence[int] = ()) -> "Recording":
        """Return a recording with each image's mutants in a random order, as requests meet them.

        Args:
            seed: seed of the orders.
            ranks: rank of every mutant; those of a lower rank come first. Without any, all ranks
                are equal.
        """
        numbers = np.tile(np.arange(self.pool, dtype=np.int32), (len(self.changes), 1))
        drawn = np.random.default_rng(seed).permuted(numbers, axis=1)
        if ranks:
            by_rank = np.argsort(np.asarray(ranks)[drawn], axis=1, kind="stable")
            drawn = np.take_along_axis(drawn, by_rank, axis=1)
        return self.in_order(drawn)

    def weighted(self, weights: Sequence[float]) -> "Recording":
        """Return a recording whose doubts are times the weight of each mutant, as tests add them up.

        Args:
            weights: weight of every mutant; none leaves the doubts as they are.
        """
        if self.doubts is None or not weights:
            return self
        doubts = np.rint(self.doubts * np.asarray(weights, dtype=np.float64)).astype(np.int32)
        return replace(self, doubts=doubts)

    def shuffled(self, seed: int | list[int]) -> NDArray[np.bool_]:
        """Return the label changes in random orders, bool [images, mutants]."""
        return self.reordered(seed).changes


def joined(parts: list[Recording]) -> Recording:
    """Join the images of several recordings of one pool; doubts only where all have them."""
    doubts = [part.doubts for part in parts if part.doubts is not None]
    own = [part.own_doubts for part in parts if part.own_doubts is not None]
    soft = len(doubts) == len(own) == len(parts)
    return Recording(
        np.concatenate([part.changes for part in parts]),
        np.concatenate([part.correct for part in parts]),
        np.concatenate(doubts) if soft else None,
        np.concatenate(own) if soft else None,
    )
