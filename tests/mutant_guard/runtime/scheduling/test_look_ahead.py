"""Look-ahead: no request takes part in a run that is too short to clear it.

Every run is recorded.
"""

from concurrent.futures import Future

import numpy as np
import pytest

from mutant_guard.decision.sequential.policies import Policy
from mutant_guard.runtime.scheduling.outcome import Outcome
from mutant_guard.store.reader import Store
from tests.mutant_guard.runtime.scheduling.driving import (
    WAIT,
    Inputs,
    RecordedSession,
    Setting,
    scheduling,
    seen,
    submit,
)

SETTINGS = [
    Setting("paper"),
    Setting("calibrated"),
    Setting("fixed"),
    Setting("paper", cap=26),
    Setting("calibrated", cap=10),
]


def steps(policy: Policy, recorded: list[dict[int, list[int]]], inputs: Inputs) -> list[tuple[int, int]]:
    """Return the mutants evaluated, and those up to the next stop, for every run of every request.

    The state of each request is followed here, and its rows must be the next ones of its order.
    """
    found = []
    changes, met = np.zeros(len(inputs), dtype=np.int64), np.zeros(len(inputs), dtype=np.int64)
    for run in recorded:
        for number, mutants in run.items():
            order = inputs.orders[number][met[number] : met[number] + len(mutants)]
            assert mutants == order.tolist()
            state = changes[number : number + 1], met[number : number + 1]
            stop = int(policy.next_stop(*state)[0])
            assert stop >= int(policy.look_ahead(*state)[0])
            found.append((len(mutants), stop))
            labels = inputs.labels[number]
            changes[number] += (labels[order] != labels[0]).sum()
            met[number] += len(mutants)
    return found


@pytest.mark.parametrize("batch_rows", [1, 64])
@pytest.mark.parametrize("together", [False, True], ids=["alone", "many in flight"])
@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_no_run_ends_before_the_next_stop(
    store: Store, inputs: Inputs, setting: Setting, together: bool, batch_rows: int
) -> None:
    policy, session = setting.policy(store), RecordedSession(store.session(threads=1), inputs)
    limit = 200  # less than many in flight ask for, more than any one of them does
    with scheduling(session, policy, batch_rows=batch_rows, max_batch_rows=limit) as scheduler:
        futures: list[Future[Outcome]] = []
        if together:  # all wait for the first run, and then for each other
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
    found = steps(policy, session.recorded, inputs)
    assert len(found) >= len(inputs)
    assert [step for step in found if step[0] < step[1]] == []
    if batch_rows == 1:  # no more than that either when nothing is to be filled up
        assert [step for step in found if step[0] > step[1]] == []


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_only_a_stop_beyond_the_limit_on_rows_is_cut_short(
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
    found = steps(policy, session.recorded, inputs)
    cut = [step for step in found if step[0] < step[1]]
    assert cut  # otherwise the limit would have no effect
    assert all(mutants == limit < stop for mutants, stop in cut)
