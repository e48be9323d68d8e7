"""Scores that are not finite: they end a test where it meets them, and never as normal."""

from math import inf, nan
from pathlib import Path

import numpy as np
import pytest

from mutant_guard.decision.sequential.policies import Decision
from mutant_guard.runtime.scheduling.scheduler import Scheduler
from mutant_guard.store.reader import Store, load_store
from tests.mutant_guard.runtime.scheduling.driving import WAIT, Inputs, Setting, scheduling, submit
from tests.support.service import NotFiniteSession, digits, order_of

VALUES = pytest.mark.parametrize("value", [nan, inf, -inf], ids=str)
SETTINGS = [Setting("calibrated"), Setting("paper"), Setting("fixed"), Setting("paper", cap=26)]
MUTANT = 7


@VALUES
@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_scores_of_the_original_that_are_not_finite_end_the_test_at_once(
    digits_store: Path, store: Store, inputs: Inputs, setting: Setting, value: float
) -> None:
    session = NotFiniteSession(digits_store, value, original=True)
    with scheduling(session, setting.policy(store)) as scheduler:
        for guarded in (True, False):
            outcome = scheduler.submit(inputs.tensors[:1], inputs.orders[0], guarded=guarded).result(WAIT)
            assert (outcome.decision, outcome.mutants) == (Decision.NOT_FINITE, 0)
            assert not np.isfinite(outcome.scores).all()


@VALUES
@pytest.mark.parametrize("setting", SETTINGS, ids=str)
@pytest.mark.parametrize(("batch_rows", "together"), [(1, 1), (64, 1), (64, 32)])
def test_a_mutant_that_is_not_finite_ends_the_tests_that_come_to_it_and_no_others(
    digits_store: Path,
    store: Store,
    inputs: Inputs,
    setting: Setting,
    batch_rows: int,
    together: int,
    value: float,
) -> None:
    """Also where the same run held what lies behind, and whatever else was in flight."""
    session = NotFiniteSession(digits_store, value, mutant=MUTANT)
    ended = 0
    with scheduling(session, setting.policy(store), batch_rows=batch_rows) as scheduler:
        for start in range(0, 96, together):
            numbers = range(start, start + together)
            futures = [submit(scheduler, inputs, number) for number in numbers]
            for number, future in zip(numbers, futures, strict=True):
                _, decision, path = setting.expected(store, inputs, number)
                before = inputs.orders[number].tolist().index(MUTANT)
                if len(path) > before:
                    decision, path, ended = Decision.NOT_FINITE, path[:before], ended + 1
                outcome = future.result(WAIT)
                assert (outcome.decision, outcome.path.tolist()) == (decision, path)
    assert 0 < ended <= 96


@VALUES
def test_doubts_of_scores_that_are_not_finite_end_no_test_as_normal(
    retrained_store: Path, value: float
) -> None:
    opened = load_store(retrained_store)
    images = digits(60)[..., None]
    tensors, order = opened.manifest.input.tensor(images), order_of(retrained_store)

    def decisions(scheduler: Scheduler) -> list[Decision]:
        futures = [
            scheduler.submit(tensors[n : n + 1], order.mutants(image)) for n, image in enumerate(images)
        ]
        return [future.result(WAIT).decision for future in futures]

    policy = opened.policy("calibrated")
    with scheduling(NotFiniteSession(retrained_store, value, original=True), policy) as scheduler:
        assert set(decisions(scheduler)) == {Decision.NOT_FINITE}
    with scheduling(opened.session(threads=1), policy) as scheduler:
        usual = decisions(scheduler)
    for mutant in range(1, opened.manifest.mutants + 1):
        session = NotFiniteSession(retrained_store, value, mutant=mutant)
        with scheduling(session, policy) as scheduler:
            found = decisions(scheduler)
        assert Decision.NOT_FINITE in found
        for place, (now, before) in enumerate(zip(found, usual, strict=True)):
            assert now in (before, Decision.NOT_FINITE)
            if order.mutants(images[place])[0] == mutant and before == Decision.NORMAL:
                assert now == Decision.NOT_FINITE
