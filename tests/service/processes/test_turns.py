"""Turns at taking connections, without connections."""

import os
from collections.abc import Iterator

import pytest

from service.processes import turns as module
from service.processes.turns import Turns, forget, turns_file
from tests.support.service import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def shared() -> Iterator[int]:
    descriptor = turns_file(3)
    yield descriptor
    os.close(descriptor)


def test_the_one_with_fewest_takes_the_next(shared: int, clock: Clock) -> None:
    one, other = Turns(shared, 0, 3), Turns(shared, 1, 3)
    assert one.is_mine(5)  # nobody else listens yet
    assert other.is_mine(0)
    assert not one.is_mine(1)
    assert other.is_mine(1)
    assert one.is_mine(1)


def test_an_eighth_more_is_no_matter(shared: int, clock: Clock) -> None:
    one, other = Turns(shared, 0, 3), Turns(shared, 1, 3)
    other.tell(100)
    assert one.is_mine(112)
    assert not one.is_mine(130)


def test_one_that_does_not_take_its_turn_is_waited_for_25_ms(shared: int, clock: Clock) -> None:
    one, other = Turns(shared, 0, 3), Turns(shared, 1, 3)
    other.tell(0)
    assert not one.is_mine(1)
    clock.now += 0.02
    assert not one.is_mine(1)
    clock.now += 0.01
    assert [one.is_mine(1 + taken) for taken in range(40)].count(True) == 32
    clock.now += 1  # that was long ago
    assert not one.is_mine(40)


@pytest.mark.parametrize("gone", ["it leaves", "it has ended"])
def test_one_that_goes_has_no_turn(gone: str, shared: int, clock: Clock) -> None:
    one, other = Turns(shared, 0, 3), Turns(shared, 1, 3)
    other.tell(0)
    if gone == "it leaves":
        other.leave()
    else:
        forget(shared, 1)
    assert one.is_mine(100)


def test_where_all_leave_they_take_turns_as_before(shared: int, clock: Clock) -> None:
    one, other = Turns(shared, 0, 3), Turns(shared, 1, 3)
    one.leave()
    other.leave()
    assert one.is_mine(0)
    assert not one.is_mine(1)
    assert other.is_mine(0)
