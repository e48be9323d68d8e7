"""Times of an engine's runs, measured without a server: the scheduler's runs, one after the other.

Times are those of the processor, so that other work on the machine hardly counts.
"""

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf
from pathlib import Path
from statistics import median

import numpy as np
from scipy.optimize import nnls

from benchmarks.scale.model.engine import RunLimits, RunTimes, Test, step
from benchmarks.subjects import POLICY
from evaluation.server import ORDER_KEY
from mutant_guard.guard import Guard
from mutant_guard.runtime.model import Model
from mutant_guard.runtime.options import Options
from mutant_guard.runtime.prepared import Prepared, prepare
from mutant_guard.runtime.scheduling.batches import Batches, Run
from mutant_guard.runtime.scheduling.outcome import Request

_TOGETHER = (1, 1, 2, 4, 8, 16, 32, 64)
_MOST_REQUESTS = 64
_LEAST_ROUNDS = 2
_DECODED = 200
"""Images whose decoding is timed."""
_SMALL_BYTES = 4096
"""Bytes up to which the event loop decodes an image."""
_BUSY = 32
"""Requests under load, by whose run it is told whether runs take turns with the event loop."""


@dataclass(frozen=True)
class EngineTimes:
    """Times of an engine.

    Attributes:
        run: how long runs take.
        limits: what bounds them.
        paths: the mutants that every image needs next, by the number met.
        decode: seconds in which an image is decoded, hashed and ordered, the median of some.
        decodes_aside: whether images are so large that threads decode them, not the event loop.
    """

    run: RunTimes
    limits: RunLimits
    paths: list[list[int]]
    decode: float
    decodes_aside: bool

    @property
    def takes_turns(self) -> bool:
        """Whether runs are short enough to take turns with an event loop, as a server would tell."""
        first = max((path[0] for path in self.paths if path), default=0)
        rows = min(self.limits.rows, _BUSY * first)
        return 1000 * self.run.seconds(_BUSY, _BUSY, rows) <= Options().inline_ms

    def seconds(self, together: int) -> float:
        """Return the processor seconds of an image where so many are always in the engine."""
        paths = itertools.cycle(self.paths)
        active = [Test(next(paths)) for _ in range(together)]
        spent, done = 0.0, 0
        while done < 4 * len(self.paths):
            seconds, ended = step(active, self.run, self.limits)
            spent, done = spent + seconds, done + len(ended)
            over = set(map(id, ended))
            active = [test for test in active if id(test) not in over] + [Test(next(paths)) for _ in ended]
        return spent / done


def measure(store: Path, bodies: Sequence[bytes], seconds: float) -> EngineTimes:
    """Measure the engine of a store on one thread.

    Args:
        store: directory of the store.
        bodies: encoded images.
        seconds: time after which no further runs are measured.

    Raises:
        GuardError: the store cannot be loaded, or an image cannot be read.
    """
    with Guard(store, policy=POLICY, order_key=ORDER_KEY, threads=1) as guard:
        model = guard.models.default
        pixels = guard.options.max_pixels
        prepared = [prepare(body, model, pixels) for body in bodies]
        decode = median(_seconds(partial(prepare, body, model, pixels)) for body in bodies[:_DECODED])
        budget = model.profile.budget
        most = model.session.images_together(_MOST_REQUESTS, more_bytes=model.session.feature_bytes)
        limits = RunLimits(budget.most, budget.fill, most, model.policy.mutants)
        samples: list[tuple[list[int], float]] = []
        paths: dict[int, list[int]] = {}
        until = time.monotonic() + seconds
        turn, rounds = itertools.cycle(range(len(prepared))), 0
        while rounds < _LEAST_ROUNDS or (len(paths) < len(prepared) and time.monotonic() < until):
            rounds += 1
            for together in _TOGETHER:
                chosen = [next(turn) for _ in range(min(together, len(prepared)))]
                requests = _together(model, [prepared[number] for number in chosen], samples)
                paths |= {
                    number: _path(model, request) for number, request in zip(chosen, requests, strict=True)
                }
    return EngineTimes(
        _fitted(samples), limits, [paths[number] for number in sorted(paths)], decode, _large(bodies)
    )


def _large(bodies: Sequence[bytes]) -> bool:
    return median(map(len, bodies)) > _SMALL_BYTES


def _seconds(work: Callable[[], object]) -> float:
    """Return the processor seconds of some work of this process."""
    began = time.process_time()
    work()
    return time.process_time() - began


def _together(
    model: Model, images: Sequence[Prepared], samples: list[tuple[list[int], float]]
) -> list[Request]:
    """Run the tests of images to their ends; add the counts and the seconds of every run to samples."""
    ran: list[Run] = []
    batches = Batches(model.session, model.policy, model.profile.budget, ran.append)
    requests = [Request(image.inputs, image.order, inf, 0.0) for image in images]
    active = requests
    while active:
        taken, lengths = batches.plan(active)
        fresh = sum(request.label < 0 for request in taken)
        took = _seconds(partial(batches.run, taken, lengths))
        samples.append(([1, fresh, len(taken), ran[-1].rows], took))
        active = [request for request in active if not request.ended]
    return requests


def _path(model: Model, request: Request) -> list[int]:
    """Return what a request that has ended needed next, by the number of mutants that it had met."""
    if not request.mutants:
        return []
    met = np.concatenate(request.evidence)
    changes = request.own_evidence + np.cumsum(met) - met
    wanted: list[int] = model.policy.next_stop(changes, np.arange(len(met))).tolist()
    return wanted


def _fitted(samples: Sequence[tuple[list[int], float]]) -> RunTimes:
    """Fit the times of runs by least squares of the relative error; none is below 0.

    Runs that took more than twice what the first fit says were disturbed, and the second leaves them
    out.
    """
    counts = np.array([count for count, _ in samples], dtype=np.float64)
    took = np.array([seconds for _, seconds in samples])
    found, _ = nnls(counts / took[:, None], np.ones(len(took)))
    kept = took <= 2 * np.maximum(counts @ found, np.finfo(float).tiny)
    if kept.sum() > counts.shape[1]:
        found, _ = nnls(counts[kept] / took[kept, None], np.ones(int(kept.sum())))
    return RunTimes(*map(float, found))
