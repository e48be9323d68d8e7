"""Pace of runs: how long the next one takes, estimated from earlier ones."""

import pytest

from mutant_guard.bank.pace import Pace


def test_of_nothing_that_was_run_nothing_is_known() -> None:
    assert [Pace().seconds(rows) for rows in (1, 2, 100)] == [0, 0, 0]


def test_a_run_of_the_same_size_takes_as_long_again() -> None:
    pace = Pace()
    pace.took(40, 0.2)
    assert pace.seconds(40) == pytest.approx(0.2)
    assert pace.seconds(60) == pytest.approx(0.3)  # both have the same power of two, so time goes by the row


@pytest.mark.parametrize(("rows", "seconds"), [(1, 0.01), (3, 0.03), (15, 0.15), (16, 0.016), (1000, 1.0)])
def test_a_size_that_was_not_run_is_reckoned_by_the_next_smaller_one(rows: int, seconds: float) -> None:
    pace = Pace()
    pace.took(1, 0.01)
    pace.took(16, 0.016)
    assert pace.seconds(rows) == pytest.approx(seconds)


def test_larger_runs_say_nothing_of_smaller_ones() -> None:
    pace = Pace()
    pace.took(64, 0.1)
    assert pace.seconds(32) == 0
    pace.took(32, 0.3)
    assert [pace.seconds(32), pace.seconds(64)] == pytest.approx([0.3, 0.1])


def test_one_run_that_was_held_up_does_not_count_for_long() -> None:
    pace = Pace()
    for _ in range(3):
        pace.took(8, 0.008)
    pace.took(8, 8.0)
    held_up = pace.seconds(8)
    assert 0.008 < held_up < 4
    for _ in range(30):
        pace.took(8, 0.008)
    assert pace.seconds(8) == pytest.approx(0.008, rel=0.05)


def test_a_first_run_that_was_slow_is_soon_forgotten() -> None:
    pace = Pace()
    pace.took(1, 10.0)
    for _ in range(30):
        pace.took(1, 0.001)
    assert pace.seconds(1) < 0.01


def test_the_largest_runs_have_a_pace_too() -> None:
    pace = Pace()
    pace.took(2**40, 1.0)
    assert pace.seconds(2**40) == pytest.approx(1.0)
