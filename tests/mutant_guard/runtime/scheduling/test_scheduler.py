"""The inference loop: its answers are those of the naive test, whatever else is in flight."""

import threading
from concurrent.futures import CancelledError, wait
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from mutant_guard.decision.sequential import builders
from mutant_guard.decision.sequential.policies import Decision
from mutant_guard.decision.sequential.sprt import Sprt
from mutant_guard.errors import NotReadyError, QueueFullError, RunFailedError
from mutant_guard.runtime.scheduling.batches import Batches, Run
from mutant_guard.runtime.scheduling.row_budget import RowBudget
from mutant_guard.runtime.scheduling.scheduler import _MOST_FAILURES, Scheduler
from mutant_guard.store.reader import Store
from tests.mutant_guard.runtime.scheduling.driving import WAIT, Inputs, Setting, scheduling, seen, submit
from tests.support.service import HeldSession

CALIBRATED = Setting("calibrated")
SETTINGS = [
    Setting("paper"),
    CALIBRATED,
    Setting("fixed"),
    Setting("paper", cap=26),
    Setting("calibrated", cap=10),
]


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_an_outcome_is_that_of_the_naive_test_when_alone(
    store: Store, inputs: Inputs, setting: Setting
) -> None:
    with scheduling(store.session(threads=1), setting.policy(store)) as scheduler:
        for number in range(len(inputs)):
            expected = setting.expected(store, inputs, number)
            assert seen(submit(scheduler, inputs, number).result(WAIT)) == expected


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
@pytest.mark.parametrize(
    ("batch_rows", "max_batch_rows"), [(64, 512), (1, 512), (512, 512), (64, 64), (64, 4), (1, 2), (3, 17)]
)
def test_load_never_changes_an_outcome(
    store: Store, inputs: Inputs, setting: Setting, batch_rows: int, max_batch_rows: int
) -> None:
    runs: list[Run] = []
    count = len(inputs) if max_batch_rows > 4 else 60
    room = threading.Semaphore(64)
    with scheduling(
        store.session(threads=1),
        setting.policy(store),
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
            assert seen(future.result(WAIT)) == setting.expected(store, inputs, number)
    assert max(run.rows for run in runs) <= max_batch_rows


def test_the_images_reach_every_decision(store: Store, inputs: Inputs) -> None:
    """The comparisons above would compare little otherwise."""
    found = {
        setting: {setting.expected(store, inputs, number)[1] for number in range(len(inputs))}
        for setting in SETTINGS
    }
    assert min(map(len, found.values())) >= 2
    for setting, decisions in found.items():
        assert (Decision.CAPPED in decisions) is (setting.cap is not None)
    assert set().union(*found.values()) == set(Decision) - {Decision.CONTINUE, Decision.NOT_FINITE}


@pytest.mark.parametrize("setting", [setting for setting in SETTINGS if setting.cap], ids=str)
def test_a_limit_on_mutants_ends_tests_and_changes_no_decision(
    store: Store, inputs: Inputs, setting: Setting
) -> None:
    free = Setting(setting.name)
    with scheduling(store.session(threads=1), setting.policy(store)) as scheduler:
        for number in range(len(inputs)):
            label, decision, path = free.expected(store, inputs, number)
            if len(path) > (setting.cap or 0):
                decision, path = Decision.CAPPED, path[: setting.cap]
            assert seen(submit(scheduler, inputs, number).result(WAIT)) == (label, decision, path)


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
    assert [run.rows for run in runs] == [60]  # the whole pool fits into batch_rows


def test_the_pool_ends_in_exhausted_and_never_in_a_guess(store: Store, inputs: Inputs) -> None:
    policy = builders.sequential("short", Sprt(0.2, 0.1), 3)
    with scheduling(store.session(threads=1), policy) as scheduler:
        outcome = submit(scheduler, inputs, 0).result(WAIT)
    assert outcome.decision == Decision.EXHAUSTED
    assert outcome.mutants == 3
    assert outcome.path.tolist() == CALIBRATED.expected(store, inputs, 0)[2][:3]


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
            future.add_done_callback(lambda _: freed.release())  # runs after the scheduler's own callback
        session.release()
        assert freed.acquire(timeout=WAIT)
        assert seen(submit(scheduler, inputs, 2).result(WAIT)) == CALIBRATED.expected(store, inputs, 2)


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
        assert seen(after.result(WAIT)) == CALIBRATED.expected(store, inputs, 2)
        with pytest.raises(CancelledError):
            running.result(0)
    assert scheduler.in_flight == 0
    assert all(run.requests == 1 for run in runs)


def test_a_failing_run_ends_the_requests_in_it_and_the_loop_goes_on(
    digits_store: Path, store: Store, inputs: Inputs
) -> None:
    session = HeldSession.of(digits_store)
    session.failure = MemoryError("no more")
    with capture_logs() as logs, scheduling(session, store.policy("calibrated")) as scheduler:
        failing = submit(scheduler, inputs, 0)
        assert session.entered.wait(WAIT)
        others = [submit(scheduler, inputs, number) for number in (1, 2)]
        failing.add_done_callback(lambda _: setattr(session, "failure", None))  # this run alone fails
        session.release()
        with pytest.raises(RunFailedError, match="try again"):
            failing.result(WAIT)
        for number, future in enumerate(others, 1):
            assert seen(future.result(WAIT)) == CALIBRATED.expected(store, inputs, number)
        assert seen(submit(scheduler, inputs, 0).result(WAIT)) == CALIBRATED.expected(store, inputs, 0)
        assert (scheduler.ready, scheduler.failed) == (True, False)
    assert scheduler.in_flight == 0
    assert [entry["event"] for entry in logs] == ["run failed"]


def test_requests_that_took_no_part_in_a_failing_run_go_on(
    digits_store: Path, store: Store, inputs: Inputs
) -> None:
    """The run holds the rows of one request; the others wait for theirs beside it."""
    session, policy = HeldSession.of(digits_store), store.policy("fixed")
    with capture_logs(), scheduling(session, policy, batch_rows=1, max_batch_rows=60) as scheduler:
        futures = [submit(scheduler, inputs, 0)]
        assert session.entered.wait(WAIT)
        futures += [submit(scheduler, inputs, number) for number in (1, 2, 3)]

        def fail_the_next(_: object) -> None:
            session.failure = ValueError("once")

        futures[0].add_done_callback(fail_the_next)
        futures[1].add_done_callback(lambda _: setattr(session, "failure", None))
        session.release()
        assert seen(futures[0].result(WAIT)) == Setting("fixed").expected(store, inputs, 0)
        with pytest.raises(RunFailedError):
            futures[1].result(WAIT)
        for number in (2, 3):
            assert seen(futures[number].result(WAIT)) == Setting("fixed").expected(store, inputs, number)


def test_failures_in_a_row_end_the_loop_and_answer_everyone(
    digits_store: Path, store: Store, inputs: Inputs
) -> None:
    session = HeldSession.of(digits_store)
    session.failure = RuntimeError("out of memory")
    session.release()
    with capture_logs() as logs, scheduling(session, store.policy("calibrated")) as scheduler:
        for _ in range(_MOST_FAILURES - 1):
            with pytest.raises(RunFailedError):
                submit(scheduler, inputs, 0).result(WAIT)
        session.hold()
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
        assert scheduler.failed
        with pytest.raises(NotReadyError, match="not running"):
            submit(scheduler, inputs, 3)
    assert scheduler.in_flight == 0
    assert [entry["event"] for entry in logs] == [
        *["run failed"] * (_MOST_FAILURES - 1),
        "inference loop failed",
    ]


def test_a_run_that_succeeds_forgives_the_failures_before_it(
    digits_store: Path, store: Store, inputs: Inputs
) -> None:
    session = HeldSession.of(digits_store)
    session.release()
    with capture_logs(), scheduling(session, store.policy("calibrated")) as scheduler:
        for _ in range(3):
            session.failure = RuntimeError("out of memory")
            for _ in range(_MOST_FAILURES - 1):
                with pytest.raises(RunFailedError):
                    submit(scheduler, inputs, 0).result(WAIT)
            session.failure = None
            assert seen(submit(scheduler, inputs, 0).result(WAIT)) == CALIBRATED.expected(store, inputs, 0)
        assert scheduler.ready


def test_a_plan_that_fails_leaves_nobody_waiting(
    store: Store, inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("plan")

    with capture_logs(), scheduling(store.session(threads=1), store.policy("paper")) as scheduler:
        monkeypatch.setattr(Batches, "plan", fail)
        with pytest.raises(RunFailedError):
            submit(scheduler, inputs, 0).result(WAIT)
        monkeypatch.undo()
        assert submit(scheduler, inputs, 0).result(WAIT).mutants > 0


def test_an_observer_that_fails_leaves_nobody_waiting(store: Store, inputs: Inputs) -> None:
    def fail(run: Run) -> None:
        raise ValueError("observer")

    with (
        capture_logs(),
        scheduling(store.session(threads=1), store.policy("paper"), on_run=fail) as scheduler,
    ):
        for error in [RunFailedError] * (_MOST_FAILURES - 1) + [NotReadyError]:
            with pytest.raises(error):
                submit(scheduler, inputs, 0).result(WAIT)
        assert not scheduler.ready


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_log_that_fails_leaves_nobody_waiting(
    store: Store, inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise BrokenPipeError("standard error is closed")

    monkeypatch.setattr("service.telemetry.observer.structlog.get_logger", broken)

    def fail(run: Run) -> None:
        raise ValueError("observer")

    with scheduling(store.session(threads=1), store.policy("paper"), on_run=fail) as scheduler:
        for error in [RunFailedError] * (_MOST_FAILURES - 1) + [NotReadyError]:
            with pytest.raises(error):
                submit(scheduler, inputs, 0).result(WAIT)


def test_nothing_is_taken_before_the_start(store: Store, inputs: Inputs) -> None:
    batches = Batches(store.session(threads=1), store.policy("paper"), RowBudget(2))
    scheduler = Scheduler(batches, max_in_flight=1)
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
        while scheduler.ready:  # until close() has taken effect
            threading.Event().wait(0.001)
        with pytest.raises(NotReadyError):
            submit(scheduler, inputs, 5)
        assert not any(future.done() for future in futures)
        session.release()
        closing.join(WAIT)
        assert not closing.is_alive()
        for number, future in enumerate(futures):
            assert seen(future.result(0)) == CALIBRATED.expected(store, inputs, number)
