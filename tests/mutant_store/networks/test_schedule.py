"""The learning rate over a run."""

import pytest

from mutant_store.networks.schedule import learning_rate, trapezoid


def test_it_rises_and_falls() -> None:
    rates = [learning_rate(step, 30, 0.05) for step in range(30)]
    peak = rates.index(max(rates))
    assert rates[peak] == pytest.approx(0.05)
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert 0 < rates[-1] < 0.001


def test_one_step_in_all_is_at_the_peak() -> None:
    assert learning_rate(0, 1, 0.05) == pytest.approx(0.05)


def test_a_trapezoid_stays_at_its_peak() -> None:
    rates = [trapezoid(step, 100, 0.1, warm_up=0.1, fall=0.4) for step in range(100)]
    assert rates[9:61] == [pytest.approx(0.1)] * 52
    assert rates[:10] == sorted(rates[:10])
    assert rates[60:] == sorted(rates[60:], reverse=True)
    assert rates[0] == pytest.approx(0.01)
    assert rates[-1] == pytest.approx(0.1 / 40)


def test_a_trapezoid_without_sides_is_even() -> None:
    assert {trapezoid(step, 5, 0.1, warm_up=0, fall=0) for step in range(5)} == {0.1}
