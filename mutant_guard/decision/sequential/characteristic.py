"""Exact behaviour of a test, by counting the paths that lead to each of its ends."""

from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray

from mutant_guard.decision.sequential.boundaries import Boundaries, Counts
from mutant_guard.decision.sequential.combinatorics import log_factorials

Probabilities = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Characteristic:
    """Behaviour of a test on inputs of given label change counts (or rates), float64 [inputs].

    Attributes:
        normal, adversarial, undecided: probabilities of the three ends; they sum to 1.
        mutants: expected number of mutants used.
    """

    normal: Probabilities
    adversarial: Probabilities
    undecided: Probabilities
    mutants: Probabilities


@dataclass(frozen=True, eq=False)
class Ends:
    """Ends of a test, one entry for each pair of mutants and label changes.

    Whatever the label change rate, the paths to an end are the same and equally likely among
    themselves: their number is counted once, and each input weighs it.

    Attributes:
        mutants, changes: int64 [ends].
        log_paths: float64 [ends], log of the number of orders of changed and unchanged labels that
            end there and nowhere before.
        normal, adversarial: bool [ends]; where neither is True, the test ended undecided.
    """

    mutants: Counts
    changes: Counts
    log_paths: Probabilities
    normal: NDArray[np.bool_]
    adversarial: NDArray[np.bool_]

    def over_pool(self, counts: Counts, pool: int) -> Probabilities:
        """Return P(end | label change count over the whole pool), sampling without replacement.

        Args:
            counts: int64 [inputs], mutants of the pool that change the input's label.
            pool: number of mutants there are, at least those the test uses.

        Returns:
            float64 [inputs, ends]; rows sum to 1.
        """
        logs = log_factorials(pool)
        changing, others = np.asarray(counts)[:, None], pool - np.asarray(counts)[:, None]
        unchanged = self.mutants - self.changes
        possible = (self.changes <= changing) & (unchanged <= others)
        # C(N − n, K − z) / C(N, K): the share of a pool's arrangements that begin with one such
        # path.
        weights = (
            self.log_paths
            + logs[pool - self.mutants]
            - logs[np.where(possible, changing - self.changes, 0)]
            - logs[np.where(possible, others - unchanged, 0)]
            - (logs[pool] - logs[changing] - logs[others])
        )
        return np.exp(np.where(possible, weights, -inf))

    def over_stream(self, rates: Probabilities) -> Probabilities:
        """Return P(end | label change rate), sampling with replacement.

        Each mutant's label changes independently.

        Args:
            rates: float64 [inputs], above 0 and below 1.

        Returns:
            float64 [inputs, ends].
        """
        rate = np.asarray(rates)[:, None]
        return np.exp(
            self.log_paths + self.changes * np.log(rate) + (self.mutants - self.changes) * np.log1p(-rate)
        )

    def characteristic(self, probabilities: Probabilities) -> Characteristic:
        """Sum up probabilities from ``over_pool`` or ``over_stream``, float64 [inputs, ends]."""
        return Characteristic(
            normal=probabilities[:, self.normal].sum(axis=1),
            adversarial=probabilities[:, self.adversarial].sum(axis=1),
            undecided=probabilities[:, ~(self.normal | self.adversarial)].sum(axis=1),
            mutants=probabilities @ self.mutants,
        )


def ends(boundaries: Boundaries) -> Ends:
    """Count the paths to every end of a test, with the ends after its last mutant.

    Each step moves the paths of every undecided (n, z) to (n + 1, z) and (n + 1, z + 1), and takes
    out those that have reached a boundary (Aroian, Technometrics 10, 1968). Time and space grow
    with the mutants times the distance between the boundaries.
    """
    found: list[tuple[Counts, Counts, Probabilities]] = []
    # Logs, since the numbers of paths of one step may differ by more than a float holds.
    log_paths, lowest = np.zeros(1), 0
    for mutants in range(1, boundaries.mutants + 1):
        padded = np.full(log_paths.size + 2, -inf)
        padded[1:-1] = log_paths
        log_paths = np.logaddexp(padded[1:], padded[:-1])
        first = max(int(boundaries.normal_at_most[mutants]) + 1 - lowest, 0)
        last = max(int(boundaries.adversarial_at_least[mutants]) - lowest, first)
        if mutants == boundaries.mutants:
            first = last = log_paths.size
        ended = np.r_[0 : min(first, log_paths.size), last : max(log_paths.size, last)]
        if ended.size:
            found.append((np.full(ended.size, mutants), lowest + ended, log_paths[ended]))
        log_paths, lowest = log_paths[first:last], lowest + first
        if log_paths.max(initial=-inf) == -inf:
            break
    mutants_used, changes, log_counts = (np.concatenate(part) for part in zip(*found, strict=True))
    return Ends(
        mutants_used,
        changes,
        log_counts,
        boundaries.is_normal(changes, mutants_used),
        boundaries.is_adversarial(changes, mutants_used),
    )


def over_pool(boundaries: Boundaries, counts: Counts, pool: int) -> Characteristic:
    """Return the behaviour of a test on inputs of given label change counts over a pool.

    Args:
        boundaries: the test.
        counts: int64 [inputs], label changes over the whole pool.
        pool: number of mutants that the test samples from.
    """
    found = ends(boundaries)
    return found.characteristic(found.over_pool(counts, pool))


def over_stream(boundaries: Boundaries, rates: Probabilities) -> Characteristic:
    """Return the behaviour of a test on independent label changes of these rates.

    Args:
        boundaries: the test.
        rates: float64 [inputs], label change rates.
    """
    found = ends(boundaries)
    return found.characteristic(found.over_stream(rates))
