"""The end of a request: its outcome, or the reason why there is none."""

from collections.abc import Callable
from math import inf

import numpy as np
import pytest

from mutant_guard.decision.sequential.policies import Decision
from mutant_guard.errors import DeadlineError
from mutant_guard.runtime.scheduling.outcome import Request
from tests.mutant_guard.runtime.scheduling.driving import outcome_of


def untouched(**state: object) -> Request:
    order = np.arange(1, 6)
    return Request(np.zeros((1, 4), np.float32), order, deadline=inf, submitted=10.0, **state)  # type: ignore[arg-type]


def half_done() -> Request:
    """Return a request after two runs."""
    return untouched(
        started=12.0,
        label=2,
        scores=np.array([0, 1, 5], np.float32),
        own_evidence=4,
        changes=6,
        mutants=3,
        labels=[np.array([1]), np.array([2, 0])],
        evidence=[np.array([1]), np.array([0, 1])],
    )


@pytest.mark.parametrize(
    "decision",
    [Decision.NORMAL, Decision.ADVERSARIAL, Decision.EXHAUSTED, Decision.CAPPED, Decision.CONTINUE],
)
def test_a_request_ends_with_what_it_met(decision: Decision) -> None:
    ended = half_done()
    ended.end(decision, 15.5)
    outcome = outcome_of(ended)
    assert (outcome.label, outcome.scores.tolist(), outcome.decision) == (2, [0, 1, 5], decision)
    assert (outcome.mutants, outcome.label_changes) == (3, 2)
    assert outcome.path.tolist() == [True, False, True]
    assert (outcome.labels.tolist(), outcome.evidence.tolist(), outcome.own_evidence) == (
        [1, 2, 0],
        [1, 0, 1],
        4,
    )
    assert (outcome.queue_seconds, outcome.run_seconds) == (2.0, 3.5)


def test_a_request_decided_before_its_first_mutant_has_met_none() -> None:
    ended = untouched()
    ended.meet(np.array([0, 7, 5], np.float32))
    ended.end(Decision.ADVERSARIAL, 15.5)
    outcome = outcome_of(ended)
    assert (outcome.label, outcome.scores.tolist(), outcome.mutants) == (1, [0, 7, 5], 0)
    assert (outcome.labels.tolist(), outcome.evidence.tolist(), outcome.label_changes) == ([], [], 0)


def test_a_request_without_a_label_fails() -> None:
    ended = untouched()
    ended.end(Decision.CONTINUE, 15.5)
    with pytest.raises(DeadlineError):
        outcome_of(ended)


@pytest.mark.parametrize("make", [untouched, half_done], ids=["waiting", "half done"])
def test_a_cancelled_request_ends_quietly(make: Callable[[], Request]) -> None:
    ended = make()
    assert ended.future.cancel()
    ended.end(Decision.CONTINUE, 15.5)
    assert ended.future.cancelled()
