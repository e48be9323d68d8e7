"""The inference loop: what it answers is the naive test's answer, whatever else is in flight."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from math import log
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from structlog.testing import capture_logs

from detection.policies import Decision, Policy, SprtPolicy
from detection.sprt import Sprt
from mutant_store.bank_session import BankSession
from mutant_store.reader import Store
from service.errors import NotReadyError, QueueFullError
from service.scheduler import Outcome, Run, Scheduler
from tests.support.service import HeldSession, digits, order_of

WAIT = 20.0


@dataclass(frozen=True)
class Inputs:
    """Images as the scheduler takes them, and the labels of every mutant in each one's order."""

    tensors: NDArray[np.float32]
    orders: list[NDArray[np.int64]]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.orders)


@pytest.fixture(scope="module")
def inputs(digits_store: Path, store: Store) -> Inputs:
    """100 clean digits, 100 a little noisy, 100 hardly to be read."""
    images = np.concatenate([digits(100), digits(100, noise=0.3), digits(100, noise=0.6)])[..., None]
    tensors = store.manifest.input.tensor(images)
    order = order_of(digits_store)
    labels = store.session(threads=1).labels(tensors, np.arange(store.manifest.mutants + 1))
    return Inputs(tensors, [order.mutants(image) for image in images], labels)


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
    scheduler = Scheduler(
        session,
        policy,
        max_in_flight=in_flight,
        batch_rows=batch_rows,
        max_batch_rows=max_batch_rows,
        on_run=on_run,
    )
    scheduler.start()
    try:
        yield scheduler
    finally:
        if isinstance(session, HeldSession):
            session.release()
        scheduler.close()


def reference(test: Sprt, pool: int, labels: list[int], order: list[int]) -> tuple[Decision, list[bool]]:
    """Algorithm 1, one mutant at a time, the bounds checked after every one."""
    path: list[bool] = []
    for mutant in order[:pool]:
        path.append(labels[mutant] != labels[0])
        z, n = sum(path), len(path)
        ratio = z * log(test.p1 / test.p0) + (n - z) * log((1 - test.p1) / (1 - test.p0))
        if ratio <= log(test.beta / (1 - test.alpha)):
            return Decision.ADVERSARIAL, path
        if ratio >= log((1 - test.beta) / test.alpha):
            return Decision.NORMAL, path
    return Decision.EXHAUSTED, path


def expected(policy: SprtPolicy, inputs: Inputs, number: int) -> tuple[int, Decision, list[bool]]:
    labels = inputs.labels[number].tolist()
    return labels[0], *reference(policy.test, policy.pool, labels, inputs.orders[number].tolist())


def seen(outcome: Outcome) -> tuple[int, Decision, list[bool]]:
    assert outcome.mutants == len(outcome.path)
    assert outcome.label_changes == outcome.path.sum()
    assert outcome.scores.argmax() == outcome.label
    assert outcome.queue_seconds >= 0
    assert outcome.run_seconds > 0
    return outcome.label, outcome.decision, outcome.path.tolist()


def submit(scheduler: Scheduler, inputs: Inputs, number: int) -> "Future[Outcome]":
    return scheduler.submit(inputs.tensors[number : number + 1], inputs.orders[number])


@pytest.mark.parametrize("name", ["paper", "calibrated"])
def test_an_outcome_is_that_of_the_naive_test_when_alone(store: Store, inputs: Inputs, name: str) -> None:
    policy = store.policy(name)
    with scheduling(store.session(threads=1), policy) as scheduler:
        for number in range(len(inputs)):
            assert seen(submit(scheduler, inputs, number).result(WAIT)) == expected(policy, inputs, number)


@pytest.mark.parametrize("name", ["paper", "calibrated"])
@pytest.mark.parametrize(
    ("batch_rows", "max_batch_rows"), [(64, 512), (1, 512), (512, 512), (64, 64), (64, 4), (1, 2), (3, 17)]
)
def test_load_never_changes_an_outcome(
    store: Store, inputs: Inputs, name: str, batch_rows: int, max_batch_rows: int
) -> None:
    policy, runs = store.policy(name), list[Run]()
    count = len(inputs) if max_batch_rows > 4 else 60
    room = threading.Semaphore(64)
    with scheduling(
        store.session(threads=1),
        policy,
        batch_rows=batch_rows,
        max_batch_rows=max_batch_rows,
        on_run=runs.append,
    ) as scheduler:
        futures = []
        for number in range(count):
            assert room.acquire(timeout=WAIT)
            future = submit(scheduler, inputs, number)
            future.add_done_callback(lambda _: room.release())
            futures.append(future)
        for number, future in enumerate(futures):
            assert seen(future.result(WAIT)) == expected(policy, inputs, number)
    assert max(run.rows for run in runs) <= max_batch_rows


def test_the_images_reach_every_decision(store: Store, inputs: Inputs) -> None:
    """Or the comparisons above would compare little."""
    found = {
        expected(store.policy(name), inputs, number)[1]
        for name in ("paper", "calibrated")
        for number in range(len(inputs))
    }
    assert found == {Decision.NORMAL, Decision.ADVERSARIAL, Decision.EXHAUSTED}


def test_one_run_holds_rows_of_two_requests(digits_store: Path, store: Store, inputs: Inputs) -> None:
    session, runs = HeldSession.of(digits_store), list[Run]()
    with scheduling(session, store.policy("calibrated"), on_run=runs.append) as scheduler:
        futures = [submit(scheduler, inputs, 0)]
        assert session.entered.wait(WAIT)
        futures += [submit(scheduler, inputs, number) for number in (1, 2)]
        assert scheduler.waiting == 2
        session.release()
        assert not wait(futures, WAIT).not_done
    assert runs[0].requests == 1
    assert runs[1].requests >= 2


def test_a_lone_request_gets_its_verdict_in_few_runs(store: Store, inputs: Inputs) -> None:
    runs: list[Run] = []
    with scheduling(store.session(threads=1), store.policy("paper"), on_run=runs.append) as scheduler:
        submit(scheduler, inputs, 0).result(WAIT)
    assert [run.rows for run in runs] == [61]  # the original and the whole pool fit into batch_rows


def test_the_pool_ends_in_exhausted_and_never_in_a_guess(store: Store, inputs: Inputs) -> None:
    policy = SprtPolicy("short", Sprt(0.2, 0.1), pool=3)
    with scheduling(store.session(threads=1), policy) as scheduler:
        outcome = submit(scheduler, inputs, 0).result(WAIT)
    assert outcome.decision == Decision.EXHAUSTED
    assert outcome.mutants == 3
    assert outcome.path.tolist() == expected(policy, inputs, 0)[2]


def test_more_requests_than_are_admitted_are_refused(
    digits_store: Path, store: Store, inputs: Inputs
) -> None:
    session, policy = HeldSession.of(digits_store), store.policy("calibrated")
    with scheduling(session, policy, in_flight=2) as scheduler:
        futures = [submit(scheduler, inputs, number) for number in (0, 1)]
        with pytest.raises(QueueFullError, match="2 requests are in flight already; try again"):
            submit(scheduler, inputs, 2)
        assert scheduler.in_flight == 2
        freed = threading.Semaphore(0)
        for future in futures:
            future.add_done_callback(lambda _: freed.release())  # runs behind the scheduler's own
        session.release()
        assert freed.acquire(timeout=WAIT)
        assert seen(submit(scheduler, inputs, 2).result(WAIT)) == expected(policy, inputs, 2)


def test_a_cancelled_request_leaves_at_once_and_frees_its_slot(
    digits_store: Path, store: Store, inputs: Inputs
) -> None:
    session, runs = HeldSession.of(digits_store), list[Run]()
    with scheduling(session, store.policy("calibrated"), in_flight=2, on_run=runs.append) as scheduler:
        running = submit(scheduler, inputs, 0)
        assert session.entered.wait(WAIT)
        waiting = submit(scheduler, inputs, 1)
        assert running.cancel()
        assert waiting.cancel()
        assert scheduler.in_flight == 0
        after = submit(scheduler, inputs, 2)
        session.release()
        assert seen(after.result(WAIT)) == expected(store.policy("calibrated"), inputs, 2)
        with pytest.raises(CancelledError):
            running.result(0)
    assert scheduler.in_flight == 0
    assert all(run.requests == 1 for run in runs)


def test_a_failing_run_answers_everyone_and_takes_no_more(
    digits_store: Path, store: Store, inputs: Inputs
) -> None:
    session = HeldSession.of(digits_store)
    session.failure = RuntimeError("out of memory")
    with capture_logs() as logs, scheduling(session, store.policy("calibrated")) as scheduler:
        futures = [submit(scheduler, inputs, 0)]
        assert session.entered.wait(WAIT)
        futures += [submit(scheduler, inputs, number) for number in (1, 2)]
        assert futures[1].cancel()
        assert scheduler.ready
        session.release()
        for future in (futures[0], futures[2]):
            with pytest.raises(NotReadyError, match="needs a restart"):
                future.result(WAIT)
        assert not scheduler.ready
        with pytest.raises(NotReadyError, match="not running"):
            submit(scheduler, inputs, 3)
    assert scheduler.in_flight == 0
    assert [entry["event"] for entry in logs] == ["inference loop failed"]


def test_an_observer_that_fails_leaves_nobody_waiting(store: Store, inputs: Inputs) -> None:
    def fail(run: Run) -> None:
        raise ValueError("observer")

    with (
        capture_logs(),
        scheduling(store.session(threads=1), store.policy("paper"), on_run=fail) as scheduler,
    ):
        with pytest.raises(NotReadyError):
            submit(scheduler, inputs, 0).result(WAIT)
        assert not scheduler.ready


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_log_that_fails_leaves_nobody_waiting(
    store: Store, inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise BrokenPipeError("standard error is closed")

    monkeypatch.setattr("service.scheduler.structlog.get_logger", broken)

    def fail(run: Run) -> None:
        raise ValueError("observer")

    with (
        scheduling(store.session(threads=1), store.policy("paper"), on_run=fail) as scheduler,
        pytest.raises(NotReadyError),
    ):
        submit(scheduler, inputs, 0).result(WAIT)


def test_nothing_is_taken_before_the_start(store: Store, inputs: Inputs) -> None:
    scheduler = Scheduler(
        store.session(threads=1), store.policy("paper"), max_in_flight=1, batch_rows=1, max_batch_rows=2
    )
    assert not scheduler.ready
    with pytest.raises(NotReadyError):
        submit(scheduler, inputs, 0)
    scheduler.close()


def test_closing_finishes_what_is_in_flight_and_takes_no_more(
    digits_store: Path, store: Store, inputs: Inputs
) -> None:
    session, policy = HeldSession.of(digits_store), store.policy("calibrated")
    with scheduling(session, policy) as scheduler:
        futures = [submit(scheduler, inputs, number) for number in range(5)]
        assert session.entered.wait(WAIT)
        closing = threading.Thread(target=scheduler.close)
        closing.start()
        while scheduler.ready:  # until close() has had its say
            threading.Event().wait(0.001)
        with pytest.raises(NotReadyError):
            submit(scheduler, inputs, 5)
        assert not any(future.done() for future in futures)
        session.release()
        closing.join(WAIT)
        assert not closing.is_alive()
        for number, future in enumerate(futures):
            assert seen(future.result(0)) == expected(policy, inputs, number)
