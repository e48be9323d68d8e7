"""Short measurement when a store is loaded: best size of runs, and time that they take."""

import time
from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray

from mutant_guard.bank.bank_session import BankSession
from mutant_guard.bank.views import Inputs
from mutant_guard.decision.sequential.policies import Policy
from mutant_guard.runtime.engine import noise
from mutant_guard.runtime.observer import SILENT, Observer
from mutant_guard.runtime.options import Options
from mutant_guard.runtime.scheduling.batches import Batches
from mutant_guard.runtime.scheduling.outcome import Request
from mutant_guard.runtime.scheduling.row_budget import RowBudget, measured_budget
from mutant_guard.store.reader import Store

_IMAGES = 64
_BUSY = 32
"""Requests in flight under load."""
_REPETITIONS = 3


@dataclass(frozen=True)
class RunProfile:
    """Result of the measurement.

    Attributes:
        budget: number of rows that runs are filled with, from the options where these give it, else
            measured.
        seconds: seconds of a run for many new requests; infinite where they are not measured.
    """

    budget: RowBudget
    seconds: float


def measure_runs(
    session: BankSession,
    store: Store,
    policy: Policy,
    options: Options,
    observer: Observer = SILENT,
    before: RunProfile | None = None,
) -> RunProfile:
    """Measure runs of a bank on noise, in the sizes that requests will use; warms each size.

    Nothing is measured where the options fix everything. The result changes how fast answers come,
    and never an answer.

    Args:
        session: the loaded bank.
        store: the store of the bank.
        policy: the policy that decides.
        options: options, which may fix a part of the result.
        observer: object that is told of the result.
        before: result for a similar version of the store. It is kept, because a measurement errs
            while requests are in flight.
    """
    most, fill = options.max_batch_rows, options.batch_rows
    if policy.stops:  # between stops surplus evidence hardly ever decides
        fill = 1
    if most is not None and fill is not None and options.inline_ms == 0:
        return RunProfile(RowBudget(most, fill), inf)
    images, mutants = noise(store, session.images_together(_IMAGES)), store.manifest.mutants
    if before is not None:
        session.warm(images)
        return before
    none = np.zeros(1, np.int64)
    first = int(policy.next_stop(none, none)[0])
    orders = _orders(len(images), mutants, store.manifest.decks)
    budget = measured_budget(session, images, orders, first, most=most, fill=fill)
    seconds = min(_run(Batches(session, policy, budget), images[:_BUSY], orders) for _ in range(_REPETITIONS))
    observer.note(
        "runs measured",
        store=store.name,
        rows=budget.most,
        rows_when_idle=budget.fill,
        milliseconds=round(seconds * 1000, 2),
    )
    return RunProfile(budget, seconds)


def _orders(images: int, mutants: int, decks: int) -> NDArray[np.int64]:
    """Draw orders of the mutants, int64 [images, mutants]; at most ``decks`` of them differ."""
    rng = np.random.default_rng(0)
    drawn = rng.permuted(np.tile(np.arange(1, mutants + 1), (min(decks, images), 1)), axis=1)
    return np.asarray(drawn[np.arange(images) % len(drawn)])


def _run(batches: Batches, images: Inputs, orders: NDArray[np.int64]) -> float:
    """Measure the seconds of one run for new requests."""
    new = [Request(images[n : n + 1], orders[n], deadline=inf, submitted=0.0) for n in range(len(images))]
    started = time.perf_counter()
    batches.run(*batches.plan(new))
    return time.perf_counter() - started
