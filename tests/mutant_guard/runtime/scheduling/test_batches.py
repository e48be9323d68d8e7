"""Runs of the bank: the requests that take part, the work they share, and the report."""

from math import inf
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mutant_guard.bank.bank_session import BankSession
from mutant_guard.decision.sequential.policies import Decision
from mutant_guard.runtime.scheduling.batches import Batches, Run
from mutant_guard.runtime.scheduling.outcome import Request
from mutant_guard.runtime.scheduling.row_budget import RowBudget
from mutant_guard.store.reader import Store
from tests.mutant_guard.runtime.scheduling.driving import (
    Inputs,
    RecordedSession,
    Setting,
    outcome_of,
    seen,
)

PAPER = Setting("paper")


def request(inputs: Inputs, number: int, *, guarded: bool = True) -> Request:
    tensor = inputs.tensors[number : number + 1]
    return Request(tensor, inputs.orders[number], deadline=inf, submitted=0.0, guarded=guarded)


@pytest.fixture
def session(store: Store, inputs: Inputs) -> RecordedSession:
    """Return a bank that remembers its rows and is not held."""
    session = RecordedSession(store.session(threads=1), inputs)
    session.release()
    return session


def until_all_have_ended(batches: Batches, requests: list[Request]) -> int:
    """Run until all requests have ended, and return the number of runs."""
    for count in range(1000):
        left = [one for one in requests if not one.ended]
        if not left:
            return count
        batches.run(*batches.plan(left))
    raise AssertionError("some never end")


def test_every_run_is_told_of_with_its_rows_requests_and_seconds(
    session: RecordedSession, store: Store, inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[Run] = []
    batches = Batches(session, PAPER.policy(store), RowBudget(30, fill=1), runs.append)
    features, scores = session.features, session.scores

    def slow_features(given: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        session.seconds += 1
        return features(given)

    def slow_scores(*given: Any) -> NDArray[np.float32]:
        session.seconds += 10
        return scores(*given)

    monkeypatch.setattr(session, "features", slow_features)
    monkeypatch.setattr(session, "scores", slow_scores)
    assert until_all_have_ended(batches, [request(inputs, 0)]) == 2
    assert runs == [Run(30, 1, 11.0), Run(30, 1, 10.0)]  # the prefix runs once


def test_no_more_requests_share_a_run_than_the_first_would_wait_for(
    session: RecordedSession, store: Store, inputs: Inputs
) -> None:
    runs: list[Run] = []
    batches = Batches(session, Setting("calibrated").policy(store), RowBudget(100_000), runs.append)
    requests = [request(inputs, number) for number in range(100)]
    batches.run(*batches.plan(requests))
    assert runs[0].requests == 64
    assert [one.label >= 0 for one in requests] == [True] * 64 + [False] * 36


def test_whoever_has_waited_longest_takes_part_first(
    session: RecordedSession, store: Store, inputs: Inputs
) -> None:
    batches = Batches(session, PAPER.policy(store), RowBudget(70))
    requests = [request(inputs, number) for number in (5, 3, 8)]
    batches.run(*batches.plan(requests))
    assert [list(run) for run in session.recorded] == [[5]]  # 60 rows, and another 60 would exceed the limit


def test_an_image_passes_the_prefix_once(
    session: RecordedSession, store: Store, inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed: list[int] = []
    features = session.features

    def counted(given: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        passed.append(len(given))
        return features(given)

    monkeypatch.setattr(session, "features", counted)
    batches = Batches(session, PAPER.policy(store), RowBudget(25))
    requests = [request(inputs, number) for number in range(4)]
    assert until_all_have_ended(batches, requests) > 4
    assert sum(passed) == 4
    for number, one in enumerate(requests):
        assert seen(outcome_of(one)) == PAPER.expected(store, inputs, number)


def test_who_wants_the_bare_label_takes_no_rows(
    session: RecordedSession, store: Store, inputs: Inputs
) -> None:
    runs: list[Run] = []
    batches = Batches(session, PAPER.policy(store), RowBudget(512), runs.append)
    requests = [request(inputs, number, guarded=number % 2 == 0) for number in range(6)]
    batches.run(*batches.plan(requests))
    assert [list(run) for run in session.recorded] == [[0, 2, 4]]
    for number in (1, 3, 5):
        outcome = outcome_of(requests[number])
        assert (outcome.decision, outcome.mutants) == (Decision.CONTINUE, 0)
        assert outcome.label == inputs.labels[number, 0]
        assert outcome.scores.argmax() == outcome.label
    bare = [request(inputs, number, guarded=False) for number in range(3)]
    batches.run(*batches.plan(bare))
    assert all(one.ended for one in bare)
    assert (runs[-1].rows, runs[-1].requests) == (0, 0)
    assert len(session.recorded) == 1


def test_a_failing_bank_fails_the_run(store: Store, inputs: Inputs, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    session = store.session(threads=1)
    batches, waiting = Batches(session, PAPER.policy(store), RowBudget(512)), request(inputs, 0)
    monkeypatch.setattr(BankSession, "features", fail)
    with pytest.raises(MemoryError):
        batches.run(*batches.plan([waiting]))
    assert not waiting.ended
    monkeypatch.undo()
    batches.run(*batches.plan([waiting]))
    assert seen(outcome_of(waiting)) == PAPER.expected(store, inputs, 0)
