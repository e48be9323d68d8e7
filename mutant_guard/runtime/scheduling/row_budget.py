"""How many rows a run of the bank holds, from a short measurement when a store is loaded."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mutant_guard.bank.bank_session import BankSession

MOST_ROWS = 512
"""Most rows of a run that are tried."""

_REPETITIONS = 5
_ENOUGH = 0.9
"""The share of the best throughput with which a run is large enough: a larger one only holds up whoever waits."""
_LEAST = 128
"""Most rows of a run are no fewer: several requests share it, and the measurement errs."""
_LONGEST = 0.1
"""Seconds a run may take; a larger one is not tried."""
_LITTLE_LONGER = 1.5
"""By how much the run of a lone request may be drawn out by rows that it may not need."""
_TIMES = 4
"""Times the mutants that a new request evaluates in any case, at most, whatever the measurement says."""


@dataclass(frozen=True)
class RowBudget:
    """What the scheduler fills runs with.

    Attributes:
        most: most rows of one run.
        fill: rows that a run of few requests is filled up to, shared out among them: the machine is idle, and another
            run would cost more than they do.
    """

    most: int
    fill: int = 1

    def share(self, requests: int) -> int:
        """Mutants that each of so many requests evaluates at least."""
        return max(1, min(self.fill, self.most) // requests)


def ladder(
    session: BankSession, inputs: NDArray[np.float32], orders: NDArray[np.int64], first: int
) -> dict[int, float]:
    """Seconds of runs of 1, 2, 4 … rows; warms each size.

    The rows are those of new requests, as where mutants do not share weights it counts how many images meet the same.

    Args:
        session: the bank.
        inputs: float32 [N, …], images to run.
        orders: int64 [N, mutants], in which they meet the mutants.
        first: mutants that each evaluates at once.
    """
    features = session.features(inputs)
    seconds: dict[int, float] = {}
    rows = 1
    while rows <= MOST_ROWS:
        turn, met = np.divmod(np.arange(rows), first)
        again, images = np.divmod(turn, len(inputs))
        chosen = orders[images, (met + again * first) % orders.shape[1]]
        for _ in range(_REPETITIONS):
            before = session.seconds
            session.scores(features, images, chosen)
            # what else runs on the machine only adds to it
            seconds[rows] = min(session.seconds - before, seconds.get(rows, np.inf))
            if seconds[rows] > _LONGEST:
                return seconds
        rows *= 2
    return seconds


def most_rows(busy: dict[int, float]) -> int:
    """The rows from which on throughput hardly grows.

    Args:
        busy: seconds of runs for many images by their rows, as ``ladder`` gives them.
    """
    best = max(rows / taken for rows, taken in busy.items())
    most = min(rows for rows, taken in busy.items() if rows / taken >= _ENOUGH * best)
    return max(most, min(_LEAST, max(busy)))


def idle_rows(alone: dict[int, float], first: int, most: int) -> int:
    """The rows that cost a lone request little more than those it needs.

    Args:
        alone: seconds of runs for one image by their rows, as ``ladder`` gives them.
        first: mutants a new request evaluates in any case.
        most: most rows of a run.
    """
    needed = float(np.interp(first, list(alone), list(alone.values())))
    fill = max((rows for rows, taken in alone.items() if taken <= _LITTLE_LONGER * needed), default=1)
    return min(fill, most, _TIMES * first)


def measured_budget(
    session: BankSession,
    inputs: NDArray[np.float32],
    orders: NDArray[np.int64],
    first: int,
    *,
    most: int | None = None,
    fill: int | None = None,
) -> RowBudget:
    """The budget of a bank; measures what is not given.

    Args:
        session: the bank.
        inputs: float32 [N, …], images to run.
        orders: int64 [N, mutants], in which they meet the mutants.
        first: mutants that each evaluates at once.
        most: most rows of a run.
        fill: rows that a run of few requests is filled up to.
    """
    if most is None:
        most = most_rows(ladder(session, inputs, orders, first))
    if fill is None:
        fill = idle_rows(ladder(session, inputs[:1], orders[:1], first), first, most)
    return RowBudget(most, fill)
