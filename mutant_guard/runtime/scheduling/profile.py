"""A short measurement when a store is loaded: how runs are best filled, and how long they take."""

import time
from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray

from mutant_guard.bank.bank_session import BankSession
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
    """What was found.

    Attributes:
        budget: how runs are filled: what the options say, and for the rest what was found best.
        seconds: a run for many new requests takes; infinite where nobody asked.
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
    """Run a bank on noise in the sizes that requests will; warms each of them. Not where the options say it all.

    What is found changes how fast answers come, and never an answer.

    Args:
        session: the loaded bank.
        store: whose it is.
        policy: how it decides.
        options: what is fixed already.
        observer: told what was found.
        before: what was found of a version like this one. It is kept: with requests under way a measurement errs.
    """
    most, fill = options.max_batch_rows, options.batch_rows
    if policy.stops:  # between stops surplus evidence hardly ever decides
        fill = 1
    if most is not None and fill is not None and options.inline_ms == 0:
        return RunProfile(RowBudget(most, fill), inf)
    if before is not None:
        session.warm(noise(store, _IMAGES))
        return before
    images, mutants = noise(store, _IMAGES), store.manifest.mutants
    none = np.zeros(1, np.int64)
    first = int(policy.next_stop(none, none)[0])
    orders = _orders(mutants, store.manifest.decks)
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


def _orders(mutants: int, decks: int) -> NDArray[np.int64]:
    """Orders of the mutants, int64 [images, mutants], as many different ones as there are decks."""
    rng = np.random.default_rng(0)
    drawn = rng.permuted(np.tile(np.arange(1, mutants + 1), (min(decks, _IMAGES), 1)), axis=1)
    return np.asarray(drawn[np.arange(_IMAGES) % len(drawn)])


def _run(batches: Batches, images: NDArray[np.float32], orders: NDArray[np.int64]) -> float:
    """Seconds of one run for requests that are new."""
    new = [Request(images[n : n + 1], orders[n], deadline=inf, submitted=0.0) for n in range(len(images))]
    started = time.perf_counter()
    batches.run(new)
    return time.perf_counter() - started
