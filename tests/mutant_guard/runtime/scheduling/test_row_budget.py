"""Sizes of runs, chosen by their cost: checked against costs with known answers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mutant_guard.bank.bank_session import BankSession
from mutant_guard.runtime.scheduling.row_budget import MOST_ROWS, RowBudget, idle_rows, ladder, most_rows
from mutant_guard.store.reader import Store
from tests.support.service import PassedOn

SIZES = [2**power for power in range(10)]


def bill(a_run: float, a_row: float) -> dict[int, float]:
    """Return the seconds of runs by rows: ``a_run`` for a run, and ``a_row`` for each row."""
    return {rows: a_run + a_row * rows for rows in SIZES}


def budget_for(seconds: dict[int, float], first: int) -> RowBudget:
    """Return the budget for runs that cost the same for one image and for many."""
    return RowBudget(most := most_rows(seconds), idle_rows(seconds, first, most))


@pytest.mark.parametrize(
    ("most", "fill", "requests", "share"),
    [
        (512, 64, 1, 64),
        (512, 64, 2, 32),
        (512, 64, 3, 21),
        (512, 64, 64, 1),
        (512, 64, 500, 1),
        (512, 1, 1, 1),
        (16, 64, 1, 16),
        (16, 64, 5, 3),
        (1, 1, 7, 1),
    ],
)
def test_what_runs_are_filled_up_to_is_shared_out(most: int, fill: int, requests: int, share: int) -> None:
    assert RowBudget(most, fill).share(requests) == share


def test_unless_told_runs_are_not_filled_up() -> None:
    assert [RowBudget(512).share(requests) for requests in (1, 64)] == [1, 1]


@pytest.mark.parametrize("first", [1, 5, 8, 9, 17, 31])
def test_hardly_more_heavy_rows_are_computed_than_are_needed(first: int) -> None:
    """Ten rows take ten times as long as one, so running them together gains nothing."""
    budget = budget_for(bill(a_run=1e-5, a_row=1e-3), first)
    assert budget.share(1) <= 1.5 * first  # rows: limit on how far a run may be drawn out
    assert budget.most == 128  # more rows would only hold up waiting requests
    assert budget_for({1: 0.03, 2: 0.06, 4: 0.12}, first).most == 4


def test_where_rows_are_cheap_an_idle_machine_goes_further() -> None:
    budget = budget_for(bill(a_run=1e-3, a_row=1e-6), first=5)
    assert budget.most == MOST_ROWS
    assert budget.fill == 20  # four times the need is the limit in any case
    assert budget.share(1) == 20
    assert budget.share(20) == 1


def test_a_lone_request_is_not_drawn_out_for_rows_it_may_not_need() -> None:
    """A run of the 8 needed rows takes 28 µs, one of 16 takes 36 µs and one of 32 takes 52 µs.

    Runs of up to 42 µs count as little longer.
    """
    assert budget_for(bill(a_run=20e-6, a_row=1e-6), first=8).fill == 16
    assert budget_for(bill(a_run=20e-6, a_row=1e-6), first=15).fill == 32  # 35 µs, and 52 µs
    assert budget_for(bill(a_run=20e-6, a_row=1e-6), first=14).fill == 16


def test_runs_grow_until_throughput_hardly_does() -> None:
    seconds = bill(a_run=100e-6, a_row=10e-6)
    most = budget_for(seconds, first=1).most
    best = 512 / seconds[512]
    assert most / seconds[most] >= 0.9 * best
    assert most // 2 / seconds[most // 2] < 0.9 * best
    assert most == 128


def test_a_size_that_is_slower_than_smaller_ones_is_not_taken() -> None:
    """A run's rows may no longer fit into the processor's cache."""
    seconds = bill(a_run=1e-4, a_row=1e-5)
    for rows in (128, 256, 512):
        seconds[rows] *= 3
    assert budget_for(seconds, first=4).most == 128  # no fewer, as the measurement errs


def test_where_more_is_needed_than_was_tried_runs_are_as_large_as_they_may_be() -> None:
    seconds = {1: 0.05, 2: 0.11}  # a second size took too long, so no further one was tried
    budget = budget_for(seconds, first=16)
    assert (budget.most, budget.share(1)) == (2, 2)


def test_a_lone_request_is_reckoned_by_itself_and_many_together() -> None:
    """Mutants may share no weights. Only images that meet the same mutants make rows cheap then."""
    alone, busy = bill(a_run=1e-6, a_row=1e-4), bill(a_run=1e-3, a_row=1e-6)
    assert (most := most_rows(busy), idle_rows(alone, 8, most)) == (512, 8)
    assert (most := most_rows(alone), idle_rows(busy, 8, most)) == (128, 32)


@given(
    a_run=st.floats(1e-6, 1e-2),
    a_row=st.floats(1e-7, 1e-2),
    first=st.integers(1, 600),
    tried=st.integers(1, len(SIZES)),
)
def test_whatever_is_measured_the_budget_can_be_kept(
    a_run: float, a_row: float, first: int, tried: int
) -> None:
    seconds = {rows: a_run + a_row * rows for rows in SIZES[:tried]}
    budget = budget_for(seconds, first)
    assert budget.most in seconds
    assert 1 <= budget.fill <= min(budget.most, 4 * first)
    for requests in (1, 3, 64, 256):
        assert budget.share(requests) == 1 or budget.share(requests) * requests <= budget.most


class Costly(PassedOn):
    """Bank whose runs take the time of a bill, and that remembers their rows."""

    def __init__(self, held: BankSession, a_row: float) -> None:
        super().__init__(held)
        self._seconds_a_row = a_row
        self.rows: list[list[tuple[int, int]]] = []

    def scores(
        self,
        features: Sequence[NDArray[np.float32]],
        image_index: NDArray[np.int64],
        mutant_index: NDArray[np.int64],
    ) -> NDArray[np.float32]:
        self.seconds += self._seconds_a_row * len(image_index)
        self.rows.append(list(zip(image_index.tolist(), mutant_index.tolist(), strict=True)))
        return self._asked.scores(features, image_index, mutant_index)


@pytest.fixture
def session(store: Store) -> Costly:
    return Costly(store.session(threads=1), 1e-6)


INPUTS = np.zeros((8, 1, 8, 8), np.float32)
ORDERS = np.random.default_rng(0).permuted(np.tile(np.arange(1, 61), (8, 1)), axis=1)


def test_every_size_is_run_several_times(session: Costly) -> None:
    assert ladder(session, INPUTS, ORDERS, 5) == pytest.approx({rows: 1e-6 * rows for rows in SIZES})
    run = list(map(len, session.rows))
    assert {rows: run.count(rows) for rows in run} == dict.fromkeys(SIZES, 5)


def test_rows_are_those_of_new_requests_and_then_their_next_ones(session: Costly) -> None:
    ladder(session, INPUTS, ORDERS, 5)
    turns = [(image, first) for first in range(0, 60, 5) for image in range(8)]
    expected = [
        (image, mutant) for image, first in turns for mutant in ORDERS[image, first : first + 5].tolist()
    ]
    for rows in session.rows:
        assert rows[:480] == expected[: len(rows)]


def test_a_lone_image_meets_one_mutant_after_the_other(session: Costly) -> None:
    ladder(session, INPUTS[:1], ORDERS[:1], 5)
    for rows in session.rows:
        assert [mutant for _, mutant in rows[:60]] == ORDERS[0, : len(rows)].tolist()
        assert {image for image, _ in rows} == {0}


def test_sizes_that_take_too_long_are_not_run(store: Store) -> None:
    session = Costly(store.session(threads=1), 0.03)
    assert ladder(session, INPUTS, ORDERS, 5) == pytest.approx({1: 0.03, 2: 0.06, 4: 0.12})
    assert [rows for rows in map(len, session.rows) if rows > 2] == [4]
    slow = Costly(store.session(threads=1), 10.0)
    assert ladder(slow, INPUTS, ORDERS, 5) == {1: 10.0}
    assert len(slow.rows) == 1


def test_a_run_that_was_held_up_once_is_not_taken_for_slow(
    session: Costly, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores, calls = session.scores, 0

    def held_up(*given: Any) -> NDArray[np.float32]:
        nonlocal calls
        calls += 1
        session.seconds += 0.05 if calls % 5 == 2 else 0.0
        return scores(*given)

    monkeypatch.setattr(session, "scores", held_up)
    assert ladder(session, INPUTS, ORDERS, 5) == pytest.approx({rows: 1e-6 * rows for rows in SIZES})


def test_of_a_real_bank_larger_runs_are_faster_by_the_row(store: Store) -> None:
    """Requests in flight at the same time would gain nothing otherwise."""
    seconds = ladder(store.session(threads=1), INPUTS, ORDERS, 5)
    assert list(seconds) == SIZES
    assert seconds[64] / 64 < seconds[1]
