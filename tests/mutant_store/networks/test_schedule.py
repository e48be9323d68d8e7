"""The learning rate over a run."""

import pytest

from mutant_store.networks.schedule import learning_rate


def test_it_rises_and_falls() -> None:
    rates = [learning_rate(step, 30, 0.05) for step in range(30)]
    peak = rates.index(max(rates))
    assert rates[peak] == pytest.approx(0.05)
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert 0 < rates[-1] < 0.001


def test_one_step_in_all_is_at_the_peak() -> None:
    assert learning_rate(0, 1, 0.05) == pytest.approx(0.05)
