"""Deadlines in the inference loop.

A request with a label ends undecided, one without a label fails, and one that decides in time is
decided.
"""

import threading
from collections.abc import Iterator
from concurrent.futures import wait
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from mutant_guard.decision.sequential import builders
from mutant_guard.decision.sequential.boundaries import Boundaries
from mutant_guard.decision.sequential.policies import Decision, ErrorBounds, Hypotheses, Policy
from mutant_guard.decision.sequential.sprt import Sprt
from mutant_guard.errors import DeadlineError, NotReadyError
from mutant_guard.runtime.scheduling.batches import Run
from mutant_guard.runtime.scheduling.scheduler import Scheduler
from tests.mutant_guard.runtime.scheduling.driving import WAIT, Inputs, scheduling, submit
from tests.support.service import Clock, HeldSession

# SLOW hardly ever decides an image, and its runs are as long as allowed. FIXED decides with its
# twentieth mutant. STAIRS may clear an image after 15 mutants, after 16 more and after 17 more.
SLOW = builders.sequential("slow", Sprt(0.07, 0.057), 60)
FIXED = builders.fixed("fixed", 20, 10, 60, ErrorBounds(0.1, 0.1))
STAIRS = Policy(
    "stairs",
    Boundaries(np.searchsorted([15, 31, 48], np.arange(61), side="right") - 1, np.arange(1, 62)),
    60,
    Hypotheses(0, 60),
    ErrorBounds(0.1, 0.1),
)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return the clock of the loop, set by hand."""
    clock = Clock()
    monkeypatch.setattr("mutant_guard.runtime.scheduling.scheduler.time", clock)
    monkeypatch.setattr("mutant_guard.runtime.scheduling.batches.time", clock)
    return clock


@pytest.fixture
def session(digits_store: Path) -> HeldSession:
    return HeldSession.of(digits_store)


def changed(inputs: Inputs, number: int) -> list[bool]:
    """Return the label changes of an image in its own order, over the whole pool."""
    labels = inputs.labels[number]
    return (labels[inputs.orders[number]] != labels[0]).tolist()  # type: ignore[no-any-return]


def never_cleared(inputs: Inputs) -> list[int]:
    """Return two images that climb all stairs, with one more label change before each."""
    paths = [np.cumsum(changed(inputs, number)) for number in range(len(inputs))]
    return [number for number, path in enumerate(paths) if path[[14, 30, 47]].tolist() == [1, 2, 3]][:2]


@contextmanager
def ticking(
    session: HeldSession, policy: Policy, clock: Clock, **limits: int
) -> Iterator[tuple[Scheduler, list[Run]]]:
    """Yield a scheduler whose every run takes a second of the clock, and its runs."""
    runs: list[Run] = []

    def on_run(run: Run) -> None:
        clock.now += 1
        runs.append(run)

    with scheduling(session, policy, batch_rows=1, on_run=on_run, **limits) as scheduler:
        yield scheduler, runs


@pytest.mark.parametrize("runs_in_time", [1, 2, 3])
def test_a_request_past_its_deadline_ends_with_what_it_has(
    session: HeldSession, inputs: Inputs, clock: Clock, runs_in_time: int
) -> None:
    path = changed(inputs, 0)
    with ticking(session, SLOW, clock, max_batch_rows=15) as (scheduler, runs):
        future = submit(scheduler, inputs, 0, deadline=clock.now + runs_in_time)
        session.release()
        outcome = future.result(WAIT)
        assert scheduler.in_flight == 0
    assert (outcome.decision, outcome.label) == (Decision.CONTINUE, inputs.labels[0, 0])
    assert len(runs) == runs_in_time
    assert outcome.mutants == sum(run.rows for run in runs) < 60
    assert outcome.path.tolist() == path[: outcome.mutants]
    assert outcome.label_changes == sum(path[: outcome.mutants])
    assert (outcome.queue_seconds, outcome.run_seconds) == (0, runs_in_time)


def test_a_decision_in_the_run_that_passes_the_deadline_is_a_decision(
    session: HeldSession, inputs: Inputs, clock: Clock
) -> None:
    with ticking(session, FIXED, clock) as (scheduler, runs):
        future = submit(scheduler, inputs, 0, deadline=clock.now + 0.5)
        session.release()
        outcome = future.result(WAIT)
    assert clock.now > 1000.5
    assert len(runs) == 1
    assert outcome.decision == Decision.NORMAL
    assert outcome.path.tolist() == changed(inputs, 0)[:20]


def test_a_request_whose_deadline_passes_in_the_queue_fails_and_is_never_run(
    session: HeldSession, inputs: Inputs, clock: Clock
) -> None:
    with ticking(session, FIXED, clock) as (scheduler, runs):
        first = submit(scheduler, inputs, 0)
        assert session.entered.wait(WAIT)
        late, patient = submit(scheduler, inputs, 1, deadline=clock.now + 0.5), submit(scheduler, inputs, 2)
        session.release()
        with pytest.raises(DeadlineError, match="before the first run"):
            late.result(WAIT)
        for number, future in ((0, first), (2, patient)):
            assert future.result(WAIT).path.tolist() == changed(inputs, number)[:20]
        assert scheduler.in_flight == 0
    assert {run.requests for run in runs} == {1}


def test_a_request_that_comes_too_late_is_never_run(
    session: HeldSession, inputs: Inputs, clock: Clock
) -> None:
    session.release()
    with ticking(session, FIXED, clock) as (scheduler, runs):
        with pytest.raises(DeadlineError):
            submit(scheduler, inputs, 0, deadline=clock.now).result(WAIT)
        assert scheduler.ready
    assert runs == []


def test_a_request_ends_after_a_run_that_has_no_room_for_it(
    session: HeldSession, inputs: Inputs, clock: Clock
) -> None:
    """Two requests may be cleared after 15, then 16, then 17 mutants.

    34 rows are too many for one run.
    """
    assert STAIRS.next_stop(np.array([0, 1, 2]), np.array([0, 15, 31])).tolist() == [15, 16, 17]
    patient, hasty = never_cleared(inputs)
    with ticking(session, STAIRS, clock, max_batch_rows=32) as (scheduler, runs):
        gone = submit(scheduler, inputs, 1)
        assert session.entered.wait(WAIT)
        futures = [
            submit(scheduler, inputs, patient),
            submit(scheduler, inputs, hasty, deadline=clock.now + 3.5),
        ]
        assert gone.cancel()
        session.release()
        assert not wait(futures, WAIT).not_done
    assert [run.requests for run in runs[1:4]] == [2, 2, 1]
    waited, ended = (future.result() for future in futures)
    assert (waited.decision, waited.mutants) == (Decision.EXHAUSTED, 60)
    assert (ended.decision, ended.mutants) == (Decision.CONTINUE, 31)


def test_a_cancelled_request_past_its_deadline_harms_nobody(
    session: HeldSession, inputs: Inputs, clock: Clock
) -> None:
    with ticking(session, SLOW, clock) as (scheduler, _):
        gone = submit(scheduler, inputs, 0, deadline=clock.now + 0.5)
        assert session.entered.wait(WAIT)
        assert gone.cancel()
        session.release()
        assert submit(scheduler, inputs, 2).result(WAIT).mutants == 60
        assert scheduler.ready


def test_closing_does_not_wait_for_more_than_the_deadlines(
    session: HeldSession, inputs: Inputs, clock: Clock
) -> None:
    numbers = never_cleared(inputs)
    with ticking(session, STAIRS, clock) as (scheduler, runs):
        futures = [submit(scheduler, inputs, number, deadline=clock.now + 1.5) for number in numbers]
        session.release()
        scheduler.close()
    assert [future.result(0).decision for future in futures] == [Decision.CONTINUE] * 2
    assert len(runs) <= 3


def test_a_loop_that_hangs_takes_no_more_until_it_goes_on(
    session: HeldSession, inputs: Inputs, clock: Clock
) -> None:
    with ticking(session, FIXED, clock) as (scheduler, _):
        first = submit(scheduler, inputs, 0)
        assert session.entered.wait(WAIT)
        clock.now += 59
        assert (scheduler.ready, scheduler.failed) == (True, False)
        clock.now += 2
        assert (scheduler.ready, scheduler.failed) == (False, True)
        with pytest.raises(NotReadyError):
            submit(scheduler, inputs, 1)
        session.release()
        assert first.result(WAIT).decision == Decision.NORMAL
        while scheduler.failed:  # the answer comes just before the loop has ended its run
            threading.Event().wait(0.001)
        assert submit(scheduler, inputs, 1).result(WAIT).mutants == 20
