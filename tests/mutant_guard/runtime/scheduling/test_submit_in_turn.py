"""Requests of the event loop that runs take turns with, which wait on a future of that loop."""

import asyncio
from math import inf

import pytest

from mutant_guard.bank.bank_session import BankSession
from mutant_guard.errors import DeadlineError, NotReadyError, QueueFullError
from mutant_guard.runtime.scheduling.batches import Run
from mutant_guard.runtime.scheduling.outcome import Outcome
from mutant_guard.runtime.scheduling.scheduler import Scheduler
from mutant_guard.store.reader import Store
from tests.mutant_guard.runtime.scheduling.driving import Inputs, Setting, scheduling, seen, turning


@pytest.fixture
def session(store: Store) -> BankSession:
    return store.session(threads=1)


def in_turn(
    scheduler: Scheduler, inputs: Inputs, number: int, *, deadline: float = inf
) -> asyncio.Future[Outcome]:
    return scheduler.submit_in_turn(
        inputs.tensors[number : number + 1], inputs.orders[number], deadline=deadline
    )


@pytest.mark.anyio
async def test_who_waits_in_the_event_loop_has_the_outcomes_of_the_naive_test(
    store: Store, session: BankSession, inputs: Inputs
) -> None:
    async with turning(session, store.policy("calibrated"), in_flight=len(inputs)) as scheduler:
        futures = [in_turn(scheduler, inputs, number) for number in range(len(inputs))]
        with pytest.raises(QueueFullError):
            in_turn(scheduler, inputs, 0)
        for number, outcome in enumerate(await asyncio.gather(*futures)):
            assert seen(outcome) == Setting("calibrated").expected(store, inputs, number)
        assert scheduler.in_flight == 0
        with pytest.raises(DeadlineError):
            await in_turn(scheduler, inputs, 0, deadline=0.0)
    with pytest.raises(NotReadyError):
        in_turn(scheduler, inputs, 0)


@pytest.mark.anyio
async def test_who_stops_waiting_in_the_event_loop_is_never_run(
    store: Store, session: BankSession, inputs: Inputs
) -> None:
    runs: list[Run] = []
    async with turning(session, store.policy("calibrated"), on_run=runs.append) as scheduler:
        gone, stays = (asyncio.ensure_future(wait_for(scheduler, inputs, number)) for number in (0, 1))
        await asyncio.sleep(0)
        assert gone.cancel()
        await stays
        with pytest.raises(asyncio.CancelledError):
            await gone
        assert scheduler.in_flight == 0
    assert {run.requests for run in runs} == {1}


async def wait_for(scheduler: Scheduler, inputs: Inputs, number: int) -> Outcome:
    return await in_turn(scheduler, inputs, number)


def test_where_runs_have_a_thread_nobody_waits_in_turn(
    store: Store, session: BankSession, inputs: Inputs
) -> None:
    with (
        scheduling(session, store.policy("calibrated")) as scheduler,
        pytest.raises(RuntimeError, match="use submit"),
    ):
        in_turn(scheduler, inputs, 0)
