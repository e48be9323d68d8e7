"""Requests at the same time: the scheduler's gain where mutants have weights of their own."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.bank.networks import load_network
from benchmarks.bank.pools import Pool, draw_pool
from benchmarks.figures import Figure, milliseconds
from benchmarks.interleave import interleaved
from benchmarks.sections import Section, Table, held
from mutant_guard.bank.views import Inputs, joined
from mutant_guard.decision.sequential.boundaries import Boundaries, Counts
from mutant_guard.decision.sequential.policies import ErrorBounds, Hypotheses, Policy
from mutant_guard.runtime.order import Order
from mutant_guard.runtime.scheduling.batches import Batches
from mutant_guard.runtime.scheduling.outcome import Outcome
from mutant_guard.runtime.scheduling.row_budget import measured_budget
from mutant_guard.runtime.scheduling.scheduler import Scheduler
from mutant_store.operators import OPERATORS

MUTANTS, IMAGES = 200, 16

_REPETITIONS = {"lenet": 15, "resnet20": 5}
_QUICK = 2
_TARGETS = {"lenet": 2.0, "resnet20": None}
_KEY = b"the key of published figures"
_LOOK_AHEAD = 10
_AT_ONCE, _IN_TURN = "at once", "one after another"


@dataclass(frozen=True, eq=False)
class NeverSure(Policy):
    """Policy that no image ever satisfies.

    Every mutant is used, and could be the last at any time.
    """

    def look_ahead(self, changes: Counts, mutants: Counts) -> Counts:
        """Return as many mutants as a calibrated test asks for between its bounds."""
        return np.minimum(_LOOK_AHEAD, np.maximum(1, self.mutants - mutants))

    def next_stop(self, changes: Counts, mutants: Counts) -> Counts:
        """Return the same number as ``look_ahead``."""
        return self.look_ahead(changes, mutants)


def never_sure(mutants: int) -> NeverSure:
    """Return a policy that is never satisfied, over a pool of this many mutants."""
    met = np.arange(mutants + 1)
    nowhere = Boundaries(np.full_like(met, -1), met + 1)
    return NeverSure("never sure", nowhere, mutants, Hypotheses(0, mutants), ErrorBounds(0.0, 0.0))


Request = tuple[Inputs, NDArray[np.int64]]
"""An image as the bank reads it, float32 [1, …], and its order of the mutants, int64 [pool]."""


def measure(quick: bool, say: Callable[[str], None]) -> Section:
    """Time GF and WS on LeNet and ResNet-20."""
    rows, figures, notes = [], [], []
    for name in ("lenet", "resnet20"):
        network = load_network(name)
        notes += [network.note] if network.note else []
        for operator in ("gf", "ws"):
            say(f"{MUTANTS} mutants of {IMAGES} images in flight: {network.title}, {operator}")
            pool = draw_pool(network, operator, MUTANTS)
            decks, seconds = _race(pool, _QUICK if quick else _REPETITIONS[name])
            gain = seconds[_IN_TURN] / seconds[_AT_ONCE]
            figure = Figure(f"{pool.key}_{IMAGES}_in_flight", gain, "x", _TARGETS[name])
            figures.append(figure)
            shown = [milliseconds(seconds[name]) for name in (_AT_ONCE, _IN_TURN)]
            rows.append([f"{network.title} {operator}", f"{pool.rate:g}", decks, *shown, held(figure)])
    table = Table(
        f"{MUTANTS} mutants of each of {IMAGES} images through the scheduler, milliseconds",
        ["", "rate", "images a deck", _AT_ONCE, _IN_TURN, ""],
        rows,
        [
            f"at once: {IMAGES} requests submitted together; one after another: each when the one before is answered. "
            f"Runs are as large as the server would measure; every request meets every mutant, at least "
            f"{_LOOK_AHEAD} at a time.",
            *notes,
        ],
    )
    return Section("Requests in flight", [table], figures)


def _race(pool: Pool, repetitions: int) -> tuple[str, dict[str, float]]:
    """Return the number of images of each deck, as text, and median seconds of both ways."""
    session = pool.bank.session()
    requests = _requests(pool)
    inputs = joined([image for image, _ in requests])
    orders = np.stack([order for _, order in requests])
    budget = measured_budget(session, inputs, orders, _LOOK_AHEAD)
    scheduler = Scheduler(Batches(session, never_sure(MUTANTS), budget), max_in_flight=IMAGES)
    scheduler.start()
    timings = interleaved(
        {
            _AT_ONCE: lambda: at_once(scheduler, requests),
            _IN_TURN: lambda: in_turn(scheduler, requests),
        },
        repetitions,
    )
    scheduler.close()
    session.close()
    drawn = np.unique([order for _, order in requests], axis=0, return_counts=True)[1]
    return ", ".join(map(str, sorted(drawn.tolist()))), {
        name: timing.median for name, timing in timings.items()
    }


def _requests(pool: Pool) -> list[Request]:
    network, decks = pool.network, OPERATORS[pool.operator].decks
    order = Order(_KEY, pool=MUTANTS, decks=decks)
    return [
        (network.inputs[number : number + 1], order.mutants(network.pixels[number]))
        for number in range(IMAGES)
    ]


def at_once(scheduler: Scheduler, requests: Sequence[Request]) -> list[Outcome]:
    """Submit all requests, then wait for all."""
    futures: list[Future[Outcome]] = [scheduler.submit(*request) for request in requests]
    return [future.result() for future in futures]


def in_turn(scheduler: Scheduler, requests: Sequence[Request]) -> list[Outcome]:
    """Submit each request when the one before is answered."""
    return [scheduler.submit(*request).result() for request in requests]
