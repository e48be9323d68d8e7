"""Number of rows in a run of the bank, from a short measurement when a store is loaded."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mutant_guard.bank.bank_session import BankSession
from mutant_guard.bank.views import Inputs

MOST_ROWS = 512
"""Most rows of a run that are tried."""

_REPETITIONS = 5
_ENOUGH = 0.9
"""Share of the best throughput at which a run is large enough.

A larger run only holds up the requests that wait.
"""
_LEAST = 128
"""Lower limit of the most rows of a run: several requests share it, and the measurement errs."""
_LONGEST = 0.1
"""Seconds a run may take; a larger one is not tried."""
_LITTLE_LONGER = 1.5
"""Upper limit of a lone request's run with surplus rows, as a multiple of its time without them."""
_TIMES = 4
"""Upper limit of the fill, as a multiple of the mutants that a new request evaluates anyway."""


@dataclass(frozen=True)
class RowBudget:
    """Limits to which the scheduler fills runs.

    Attributes:
        most: most rows of one run.
        fill: rows that a run of few requests is filled up to. The requests share them out. The
            machine is idle, and another run would cost more than these rows.
    """

    most: int
    fill: int = 1

    def share(self, requests: int) -> int:
        """Return the least number of mutants that each of this many requests evaluates."""
        return max(1, min(self.fill, self.most) // requests)


def ladder(session: BankSession, inputs: Inputs, orders: NDArray[np.int64], first: int) -> dict[int, float]:
    """Measure the seconds of runs of 1, 2, 4 … rows; warms each size.

    The rows are those of new requests. This matters where mutants do not share weights: there the
    time depends on how many images meet the same mutant.

    Args:
        session: the bank.
        inputs: N images to run.
        orders: int64 [N, mutants], order in which each image meets the mutants.
        first: number of mutants that each image evaluates at once.

    Returns:
        Seconds by number of rows.
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
            # other work on the machine only adds to the time
            seconds[rows] = min(session.seconds - before, seconds.get(rows, np.inf))
            if seconds[rows] > _LONGEST:
                return seconds
        rows *= 2
    return seconds


def most_rows(busy: dict[int, float]) -> int:
    """Return the number of rows above which throughput hardly grows.

    Args:
        busy: seconds of runs for many images by number of rows, from ``ladder``.
    """
    best = max(rows / taken for rows, taken in busy.items())
    most = min(rows for rows, taken in busy.items() if rows / taken >= _ENOUGH * best)
    return max(most, min(_LEAST, max(busy)))


def idle_rows(alone: dict[int, float], first: int, most: int) -> int:
    """Return the number of rows that cost a lone request little more than those it needs.

    Args:
        alone: seconds of runs for one image by number of rows, from ``ladder``.
        first: number of mutants that a new request evaluates anyway.
        most: most rows of a run.
    """
    needed = float(np.interp(first, list(alone), list(alone.values())))
    fill = max((rows for rows, taken in alone.items() if taken <= _LITTLE_LONGER * needed), default=1)
    return min(fill, most, _TIMES * first)


def measured_budget(
    session: BankSession,
    inputs: Inputs,
    orders: NDArray[np.int64],
    first: int,
    *,
    most: int | None = None,
    fill: int | None = None,
) -> RowBudget:
    """Return the row budget of a bank; measure the values that are not given.

    Args:
        session: the bank.
        inputs: N images to run.
        orders: int64 [N, mutants], order in which each image meets the mutants.
        first: number of mutants that each image evaluates at once.
        most: most rows of a run; None to measure it.
        fill: rows that a run of few requests is filled up to; None to measure it.
    """
    if most is None:
        most = most_rows(ladder(session, inputs, orders, first))
    if fill is None:
        fill = idle_rows(ladder(session, inputs[:1], orders[:1], first), first, most)
    return RowBudget(most, fill)
