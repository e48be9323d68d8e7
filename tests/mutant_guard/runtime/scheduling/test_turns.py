"""The inference loop in turns with the event loop: the same answers, with room for others."""

import asyncio

import anyio
import pytest
from structlog.testing import capture_logs

from mutant_guard.bank.bank_session import BankSession
from mutant_guard.decision.sequential.policies import Decision
from mutant_guard.errors import DeadlineError, NotReadyError, QueueFullError, RunFailedError
from mutant_guard.runtime.scheduling.batches import Run
from mutant_guard.runtime.scheduling.row_budget import RowBudget
from mutant_guard.runtime.scheduling.scheduler import _MOST_FAILURES
from mutant_guard.store.reader import Store
from tests.mutant_guard.runtime.scheduling.driving import Inputs, Setting, seen, submit, turning
from tests.support.service import Clock

pytestmark = pytest.mark.anyio

SETTINGS = [Setting("calibrated"), Setting("paper"), Setting("fixed"), Setting("paper", cap=26)]


@pytest.fixture
def session(store: Store) -> BankSession:
    return store.session(threads=1)


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
async def test_an_outcome_is_that_of_the_naive_test_alone_and_with_others(
    setting: Setting, store: Store, session: BankSession, inputs: Inputs
) -> None:
    async with turning(session, setting.policy(store)) as scheduler:
        for number in range(0, len(inputs), 10):
            outcome = await asyncio.wrap_future(submit(scheduler, inputs, number))
            assert seen(outcome) == setting.expected(store, inputs, number)
        futures = [asyncio.wrap_future(submit(scheduler, inputs, number)) for number in range(len(inputs))]
        for number, outcome in enumerate(await asyncio.gather(*futures)):
            assert seen(outcome) == setting.expected(store, inputs, number)
        assert scheduler.in_flight == 0


async def test_all_that_come_in_one_round_of_the_event_loop_share_a_run(
    store: Store, session: BankSession, inputs: Inputs
) -> None:
    runs: list[Run] = []
    async with turning(session, store.policy("calibrated"), on_run=runs.append) as scheduler:
        futures = [submit(scheduler, inputs, number) for number in range(20)]
        assert (runs, scheduler.waiting, scheduler.in_flight) == ([], 20, 20)
        await asyncio.gather(*map(asyncio.wrap_future, futures))
    assert runs[0].requests == 20


@pytest.mark.parametrize(
    ("others_take", "turns"),
    [(0.0, [5] + [1] * 10), (0.01, [5, 3, 3, 3, 1]), (10.0, [5, 5, 5])],
)
async def test_a_turn_lasts_as_long_as_what_went_before_it_and_never_long(
    others_take: float,
    turns: list[int],
    store: Store,
    session: BankSession,
    inputs: Inputs,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A run takes 4 ms here, and a turn may take 20 ms; at least one run is made in each turn."""
    clock, order = Clock(), list[str]()
    monkeypatch.setattr("mutant_guard.runtime.scheduling.scheduler.time", clock)

    def on_run(_: Run) -> None:
        clock.now += 0.004
        order.append("r")

    policy, budget = store.policy("paper"), RowBudget(4, fill=1)  # fifteen runs for sixty mutants
    async with turning(session, policy, budget=budget, on_run=on_run) as scheduler:
        asked = submit(scheduler, inputs, 0)
        while not asked.done():
            order.append("o")
            clock.now += others_take
            await asyncio.sleep(0)
        assert asked.result().mutants == 60
    assert [len(turn) for turn in "".join(order).split("o") if turn] == turns


async def test_a_request_that_comes_while_others_run_joins_them(
    store: Store, session: BankSession, inputs: Inputs
) -> None:
    runs: list[Run] = []
    policy, budget = store.policy("paper"), RowBudget(20, fill=1)
    async with turning(session, policy, budget=budget, on_run=runs.append) as scheduler:
        first = submit(scheduler, inputs, 0)
        while not runs:
            await asyncio.sleep(0)
        second = submit(scheduler, inputs, 1)
        outcomes = [await asyncio.wrap_future(future) for future in (first, second)]
        assert [outcome.decision for outcome in outcomes] == [
            Setting("paper").expected(store, inputs, number)[1] for number in (0, 1)
        ]


async def test_more_than_are_admitted_are_refused(store: Store, session: BankSession, inputs: Inputs) -> None:
    async with turning(session, store.policy("calibrated"), in_flight=2) as scheduler:
        futures = [submit(scheduler, inputs, number) for number in (0, 1)]
        with pytest.raises(QueueFullError):
            submit(scheduler, inputs, 2)
        await asyncio.gather(*map(asyncio.wrap_future, futures))
        assert (await asyncio.wrap_future(submit(scheduler, inputs, 2))).mutants > 0


async def test_a_cancelled_request_is_never_run(store: Store, session: BankSession, inputs: Inputs) -> None:
    runs: list[Run] = []
    async with turning(session, store.policy("calibrated"), on_run=runs.append) as scheduler:
        gone, stays = (submit(scheduler, inputs, number) for number in (0, 1))
        assert gone.cancel()
        assert scheduler.in_flight == 1
        await asyncio.wrap_future(stays)
        alone = submit(scheduler, inputs, 2)
        assert alone.cancel()
        await asyncio.sleep(0.01)
    assert {run.requests for run in runs} == {1}
    assert session.runs == len(runs)


async def test_past_its_deadline_a_request_ends_with_what_it_has(
    store: Store, session: BankSession, inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr("mutant_guard.runtime.scheduling.scheduler.time", clock)
    monkeypatch.setattr("mutant_guard.runtime.scheduling.batches.time", clock)

    def tick(_: Run) -> None:
        clock.now += 1

    policy, budget = store.policy("paper"), RowBudget(15, fill=1)
    async with turning(session, policy, budget=budget, on_run=tick) as scheduler:
        late = submit(scheduler, inputs, 1, deadline=clock.now)
        with pytest.raises(DeadlineError):
            await asyncio.wrap_future(late)
        outcome = await asyncio.wrap_future(submit(scheduler, inputs, 0, deadline=clock.now + 2))
        assert (outcome.decision, outcome.mutants) == (Decision.CONTINUE, 30)


async def test_closing_finishes_what_is_in_flight(store: Store, session: BankSession, inputs: Inputs) -> None:
    policy, budget = store.policy("paper"), RowBudget(10, fill=1)
    async with turning(session, policy, budget=budget) as scheduler:
        futures = [submit(scheduler, inputs, number) for number in range(8)]
        closing = asyncio.ensure_future(asyncio.to_thread(scheduler.close))
        while scheduler.ready:
            await asyncio.sleep(0)
        with pytest.raises(NotReadyError):
            submit(scheduler, inputs, 8)
        with anyio.fail_after(10):
            await closing
        for number, future in enumerate(futures):
            assert seen(future.result(0)) == Setting("paper").expected(store, inputs, number)
        assert not scheduler.failed


async def test_closing_what_is_idle_or_closed_already_does_not_wait(
    store: Store, session: BankSession, inputs: Inputs
) -> None:
    async with turning(session, store.policy("calibrated")) as scheduler:
        await asyncio.wrap_future(submit(scheduler, inputs, 0))
        with anyio.fail_after(5):
            await asyncio.to_thread(scheduler.close)
            await asyncio.to_thread(scheduler.close)
        assert not scheduler.ready


async def test_a_failing_run_ends_the_requests_in_it_and_the_loop_goes_on(
    store: Store, session: BankSession, inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        monkeypatch.undo()
        raise MemoryError

    monkeypatch.setattr(session, "scores", fail)
    with capture_logs() as logs:
        async with turning(session, store.policy("calibrated")) as scheduler:
            futures = [submit(scheduler, inputs, number) for number in range(3)]
            for future in futures:
                with anyio.fail_after(5), pytest.raises(RunFailedError, match="try again"):
                    await asyncio.wrap_future(future)
            outcome = await asyncio.wrap_future(submit(scheduler, inputs, 0))
            assert seen(outcome) == Setting("calibrated").expected(store, inputs, 0)
            assert (scheduler.ready, scheduler.in_flight) == (True, 0)
    assert [entry["event"] for entry in logs] == ["run failed"]


async def test_failures_in_a_row_end_the_loop_and_answer_everyone(
    store: Store, session: BankSession, inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(session, "scores", fail)
    with capture_logs() as logs:
        async with turning(session, store.policy("calibrated")) as scheduler:
            for _ in range(_MOST_FAILURES - 1):
                with anyio.fail_after(5), pytest.raises(RunFailedError):
                    await asyncio.wrap_future(submit(scheduler, inputs, 0))
            futures = [submit(scheduler, inputs, number) for number in range(3)]
            closing = asyncio.ensure_future(
                asyncio.to_thread(scheduler.close)
            )  # waits for the run that fails
            for future in futures:
                with anyio.fail_after(5), pytest.raises(NotReadyError, match="needs a restart"):
                    await asyncio.wrap_future(future)
            with anyio.fail_after(5):
                await closing
            assert scheduler.failed
            assert not scheduler.ready
            with pytest.raises(NotReadyError):
                submit(scheduler, inputs, 3)
        assert scheduler.in_flight == 0
    assert [entry["event"] for entry in logs] == [
        *["run failed"] * (_MOST_FAILURES - 1),
        "inference loop failed",
    ]


async def test_a_log_that_fails_leaves_nobody_waiting(
    store: Store, session: BankSession, inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise BrokenPipeError("standard error is closed")

    def fail(run: Run) -> None:
        raise ValueError("observer")

    monkeypatch.setattr("service.telemetry.observer.structlog.get_logger", broken)
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))
    async with turning(session, store.policy("paper"), on_run=fail) as scheduler:
        for error in [RunFailedError] * (_MOST_FAILURES - 1) + [NotReadyError]:
            with anyio.fail_after(5), pytest.raises(error):
                await asyncio.wrap_future(submit(scheduler, inputs, 0))
    assert [type(error) for error in reported] == [BrokenPipeError]


async def test_requests_of_other_threads_get_their_turn(
    store: Store, session: BankSession, inputs: Inputs
) -> None:
    async with turning(session, store.policy("calibrated")) as scheduler:

        def ask(number: int) -> tuple[int, Decision, list[bool]]:
            return seen(submit(scheduler, inputs, number).result(10))

        found = await asyncio.gather(*(asyncio.to_thread(ask, number) for number in range(30)))
        for number, outcome in enumerate(found):
            assert outcome == Setting("calibrated").expected(store, inputs, number)
