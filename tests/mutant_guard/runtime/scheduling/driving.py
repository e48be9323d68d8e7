"""Helpers for tests of the inference loop: images with all labels, a running loop, naive tests."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from math import comb, inf, log

import anyio
import numpy as np
from numpy.typing import NDArray

from mutant_guard.bank import views
from mutant_guard.bank.bank_session import BankSession
from mutant_guard.decision.sequential.policies import Decision, Policy
from mutant_guard.runtime.scheduling.batches import Batches, Run
from mutant_guard.runtime.scheduling.outcome import Outcome, Request
from mutant_guard.runtime.scheduling.row_budget import RowBudget
from mutant_guard.runtime.scheduling.scheduler import Scheduler
from mutant_guard.store.calibration_record import FinitePoolRecord, FixedRecord, PolicyRecord, SprtRecord
from mutant_guard.store.reader import Store
from tests.support.service import LOGGING, HeldSession

WAIT = 20.0


@dataclass(frozen=True)
class Inputs:
    """Images as the scheduler takes them, and the labels of every mutant in each image's order."""

    tensors: NDArray[np.float32]
    orders: list[NDArray[np.int64]]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.orders)


@dataclass(frozen=True)
class Setting:
    """Policy of a store, with or without a limit on its mutants."""

    name: str
    cap: int | None = None

    def __str__(self) -> str:
        return self.name if self.cap is None else f"{self.name} up to {self.cap}"

    def policy(self, store: Store) -> Policy:
        policy = store.policy(self.name)
        return policy if self.cap is None else policy.up_to(self.cap)

    def expected(self, store: Store, inputs: Inputs, number: int) -> tuple[int, Decision, list[bool]]:
        """Return label, decision and path of an image, by the naive test."""
        labels = inputs.labels[number].tolist()
        changed = [labels[mutant] != labels[0] for mutant in inputs.orders[number]]
        return labels[0], *_naive(store.calibration.policies[self.name], changed, self.cap)


def _naive(record: PolicyRecord, changed: list[bool], cap: int | None) -> tuple[Decision, list[bool]]:
    """Run the test as its authors write it down, checked after every single mutant."""
    for n in range(1, min(len(changed), cap or len(changed)) + 1):
        decision = _decide(record, sum(changed[:n]), n)
        if decision != Decision.CONTINUE:
            return decision, changed[:n]
    if cap is not None and cap < len(changed):
        return Decision.CAPPED, changed[:cap]
    return Decision.EXHAUSTED, changed


def _decide(record: PolicyRecord, z: int, n: int) -> Decision:
    test, pool = record.test, record.pool
    match test:
        case SprtRecord():
            ratio = z * log(test.p1 / test.p0) + (n - z) * log((1 - test.p1) / (1 - test.p0))
            low, high = log(test.beta / (1 - test.alpha)), log((1 - test.beta) / test.alpha)
        case FinitePoolRecord():
            weights = [*test.normal, (test.high, 1.0)]
            *normals, adversarial = (w * comb(count, z) * comb(pool - count, n - z) for count, w in weights)
            normal = sum(normals)
            ratio = -inf if normal == 0 else inf if adversarial == 0 else log(normal / adversarial)
            low, high = log(test.beta), -log(test.alpha)
        case FixedRecord():
            ratio = 0 if n < test.mutants else -inf if z >= test.threshold else inf
            low, high = -1, 1
    if ratio <= low + 1e-9:
        return Decision.ADVERSARIAL
    return Decision.NORMAL if ratio >= high - 1e-9 else Decision.CONTINUE


@contextmanager
def scheduling(
    session: BankSession,
    policy: Policy,
    *,
    in_flight: int = 512,
    batch_rows: int = 64,
    max_batch_rows: int = 512,
    on_run: Callable[[Run], None] = lambda run: None,
) -> Iterator[Scheduler]:
    """Yield a running scheduler."""
    batches = Batches(session, policy, RowBudget(max_batch_rows, fill=batch_rows), on_run)
    scheduler = Scheduler(batches, max_in_flight=in_flight, observer=LOGGING)
    scheduler.start()
    try:
        yield scheduler
    finally:
        if isinstance(session, HeldSession):
            session.release()
        scheduler.close()


@asynccontextmanager
async def turning(
    session: BankSession,
    policy: Policy,
    *,
    in_flight: int = 512,
    budget: RowBudget | None = None,
    on_run: Callable[[Run], None] = lambda run: None,
) -> AsyncIterator[Scheduler]:
    """Yield a scheduler that takes turns with this event loop."""
    batches = Batches(session, policy, budget or RowBudget(512, fill=1), on_run)
    scheduler = Scheduler(batches, max_in_flight=in_flight, observer=LOGGING)
    scheduler.start(asyncio.get_running_loop())
    try:
        yield scheduler
    finally:
        with anyio.fail_after(10):
            await asyncio.to_thread(scheduler.close)


def submit(scheduler: Scheduler, inputs: Inputs, number: int, *, deadline: float = inf) -> "Future[Outcome]":
    return scheduler.submit(inputs.tensors[number : number + 1], inputs.orders[number], deadline=deadline)


def seen(outcome: Outcome) -> tuple[int, Decision, list[bool]]:
    """Return label, decision and path of an outcome, as ``Setting.expected`` does."""
    assert outcome.mutants == len(outcome.path)
    assert outcome.label_changes == outcome.path.sum()
    assert outcome.scores.argmax() == outcome.label
    assert outcome.queue_seconds >= 0
    assert outcome.run_seconds > 0
    return outcome.label, outcome.decision, outcome.path.tolist()


class RecordedSession(HeldSession):
    """Held bank that remembers which image met which mutants in every run."""

    def __init__(self, held: BankSession, inputs: Inputs) -> None:
        super().__init__(held)
        self._number = {tensor.tobytes(): number for number, tensor in enumerate(inputs.tensors)}
        self.recorded: list[dict[int, list[int]]] = []

    def features(self, images: views.Inputs) -> list[NDArray[np.float32]]:
        tensors = views.arrays_of(images)[0]
        numbers = np.array([[self._number[tensor.tobytes()]] for tensor in tensors], dtype=np.float32)
        *shared, scores = super().features(images)
        return [*shared, numbers, scores]

    def scores(
        self,
        features: Sequence[NDArray[np.float32]],
        image_index: NDArray[np.int64],
        mutant_index: NDArray[np.int64],
    ) -> NDArray[np.float32]:
        *shared, marks, own = features
        scores = super().scores([*shared, own], image_index, mutant_index)
        numbers = marks[:, 0].astype(int).tolist()
        self.recorded.append(
            {number: mutant_index[image_index == row].tolist() for row, number in enumerate(numbers)}
        )
        return scores


def outcome_of(request: Request) -> Outcome:
    """Return the outcome of a request that has ended."""
    assert request.future.done()
    return request.future.result()
