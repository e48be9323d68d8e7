"""How many rows a run of the bank holds, from a short measurement when a store is loaded."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray

from mutant_store.bank_session import BankSession

MOST_ROWS = 512
"""Most rows of a run that are tried."""

_IN_FLIGHT = (1, 2, 4, 8, 16, 32, 64)
_SURPLUS = 8
"""Mutants a request evaluates beyond its look-ahead in the second of two runs that are compared."""
_REPETITIONS = 5
_ENOUGH = 0.9
"""The share of the best throughput with which a run is large enough: a larger one only holds up whoever waits."""
_LONGEST = 0.1
"""Seconds a run may take; a larger one is not tried."""


@dataclass(frozen=True)
class RowBudget:
    """What the scheduler fills runs with.

    A request evaluates its look-ahead at least. More costs what the rows cost, less costs another run, with all that
    is done once a run and once a request. Neither can be known to pay; with a surplus that costs as much as the run
    would without any, it takes at most twice what hindsight would have (ski rental).

    Attributes:
        most: most rows of one run.
        fill: rows a run is filled up to, shared out among the requests in flight.
        shares: mutants a request evaluates at least, by the number of requests in flight; ascending pairs. Used where
            ``fill`` is not given.
    """

    most: int
    fill: int | None = None
    shares: tuple[tuple[int, int], ...] = ()

    def share(self, requests: int) -> int:
        """Mutants that each of so many requests evaluates at least."""
        if self.fill is not None:
            return max(1, self.fill // requests)
        found = 1
        for count, share in self.shares:
            if count > requests:
                break
            found = share
        return max(1, min(found, self.most // requests))


Step = Callable[[int, int], float]
"""Seconds of a run for so many requests, each of so many mutants."""


def measured_shares(step: Step, look_ahead: int, most: int) -> tuple[tuple[int, int], ...]:
    """At every number of requests in flight the surplus that costs as much as the rest of the run.

    Args:
        step: runs and takes the time.
        look_ahead: mutants a request evaluates in any case.
        most: most rows of a run.
    """
    shares = []
    for requests in _IN_FLIGHT:
        if requests * (look_ahead + _SURPLUS) > most:
            break
        least, more = (
            median(step(requests, length) for _ in range(_REPETITIONS))
            for length in (look_ahead, look_ahead + _SURPLUS)
        )
        a_mutant = max(more - least, 1e-9) / _SURPLUS
        rest = max(least - a_mutant * look_ahead, 0.0)
        shares.append((requests, max(1, round(rest / a_mutant))))
        if more > _LONGEST:
            break
    return tuple(shares)


def measured_most(session: BankSession, inputs: NDArray[np.float32], mutants: int) -> int:
    """The rows of a run from which on throughput hardly grows; warms every size up to it.

    Args:
        session: the bank.
        inputs: float32 [N, …], images to run; the rows are shared out among them.
        mutants: how many there are.
    """
    features = session.features(inputs)
    rates: dict[int, float] = {}
    rows = 1
    while rows <= MOST_ROWS:
        images, chosen = np.arange(rows) % len(inputs), np.arange(rows) % mutants + 1
        taken = []
        for _ in range(_REPETITIONS):
            before = session.seconds
            session.scores(features, images, chosen)
            taken.append(session.seconds - before)
            if taken[-1] > _LONGEST:
                break
        rates[rows] = rows / min(taken)
        if min(taken) > _LONGEST:
            break
        rows *= 2
    best = max(rates.values())
    return next(rows for rows, rate in rates.items() if rate >= _ENOUGH * best)
