"""Every run is recorded: a request never takes part in one that is too short to decide it."""

from concurrent.futures import Future

import numpy as np
import pytest

from detection.policies import Policy
from mutant_store.reader import Store
from service.outcome import Outcome
from tests.service.scheduling import WAIT, Inputs, RecordedSession, Setting, scheduling, seen, submit

SETTINGS = [
    Setting("paper"),
    Setting("calibrated"),
    Setting("fixed"),
    Setting("paper", cap=26),
    Setting("calibrated", cap=10),
]


def look_aheads(
    policy: Policy, recorded: list[dict[int, list[int]]], inputs: Inputs
) -> list[tuple[int, int]]:
    """Mutants evaluated, and the look-ahead then, for every run of every request.

    The state of each request is followed here, and its rows have to be the next ones of its order.
    """
    found = []
    changes, met = np.zeros(len(inputs), dtype=np.int64), np.zeros(len(inputs), dtype=np.int64)
    for run in recorded:
        for number, mutants in run.items():
            order = inputs.orders[number][met[number] : met[number] + len(mutants)]
            assert mutants == order.tolist()
            ahead = policy.look_ahead(changes[number : number + 1], met[number : number + 1])
            found.append((len(mutants), int(ahead[0])))
            labels = inputs.labels[number]
            changes[number] += (labels[order] != labels[0]).sum()
            met[number] += len(mutants)
    return found


@pytest.mark.parametrize("batch_rows", [1, 64])
@pytest.mark.parametrize("together", [False, True], ids=["alone", "many in flight"])
@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_no_run_is_shorter_than_the_look_ahead(
    store: Store, inputs: Inputs, setting: Setting, together: bool, batch_rows: int
) -> None:
    policy, session = setting.policy(store), RecordedSession(store.session(threads=1), inputs)
    limit = 200  # less than what many in flight ask for, more than any one of them does
    with scheduling(session, policy, batch_rows=batch_rows, max_batch_rows=limit) as scheduler:
        futures: list[Future[Outcome]] = []
        if together:  # all of them wait for the first run, and then for each other
            futures = [submit(scheduler, inputs, number) for number in range(len(inputs))]
            session.release()
        else:
            session.release()
            for number in range(len(inputs)):
                futures.append(submit(scheduler, inputs, number))
                futures[-1].result(WAIT)
        for number, future in enumerate(futures):
            assert seen(future.result(WAIT)) == setting.expected(store, inputs, number)
    assert (max(len(run) for run in session.recorded) > 1) is together
    assert max(sum(map(len, run.values())) for run in session.recorded) <= limit
    found = look_aheads(policy, session.recorded, inputs)
    assert len(found) >= len(inputs)
    assert [step for step in found if step[0] < step[1]] == []
    if batch_rows == 1:  # no more than that either, where nothing is to be filled up
        assert [step for step in found if step[0] > step[1]] == []


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_only_a_look_ahead_that_exceeds_the_limit_on_rows_is_cut(
    store: Store, inputs: Inputs, setting: Setting
) -> None:
    policy, session = setting.policy(store), RecordedSession(store.session(threads=1), inputs)
    limit, count = 3, 40
    with scheduling(session, policy, batch_rows=1, max_batch_rows=limit) as scheduler:
        futures = [submit(scheduler, inputs, number) for number in range(count)]
        session.release()
        for number, future in enumerate(futures):
            assert seen(future.result(WAIT)) == setting.expected(store, inputs, number)
    assert max(sum(map(len, run.values())) for run in session.recorded) <= limit
    found = look_aheads(policy, session.recorded, inputs)
    cut = [step for step in found if step[0] < step[1]]
    assert cut  # or the limit would be none
    assert all(mutants == limit < ahead for mutants, ahead in cut)
