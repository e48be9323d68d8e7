"""Ranks of mutants: the cheapest companions first, what sees least last."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mutant_guard.decision.calibration.recording import Recording
from mutant_guard.runtime.order import Order
from mutant_store.companions.ranks import ranks_of


def companions(*costs: float) -> Any:
    return [SimpleNamespace(relative_cost=cost) for cost in costs]


@pytest.mark.parametrize(
    ("operators", "costs", "expected"),
    [
        (["nai", "nai"], (), []),
        (["companion"] * 2, (1.6, 0.4), [1, 0]),
        (["companion"] * 2, (0.5, 0.5), [0, 0]),
        (["companion", "companion", "retrain", "nai", "retrain"], (1.6, 0.4), [2, 0, 1, 3, 1]),
        (["robust", "retrain", "nai"], (), [0, 1, 2]),
        (["companion", "robust", "robust", "retrain"], (0.1,), [1, 0, 0, 2]),
    ],
)
def test_work_decides(operators: list[str], costs: tuple[float, ...], expected: list[int]) -> None:
    assert ranks_of(operators, companions(*costs)) == expected


def test_orders_and_recordings_keep_to_ranks_and_else_to_chance() -> None:
    ranks = [1, 0, 1, 1, 0]
    order = Order(b"k" * 32, pool=5, decks=1 << 10, ranks=ranks)
    rng = np.random.default_rng(0)
    met = np.array([order.mutants(rng.integers(0, 256, (4, 4, 1), np.uint8)) for _ in range(60)])
    assert np.array_equal(np.sort(met[:, :2], axis=1), np.tile([2, 5], (60, 1)))
    assert len({tuple(row) for row in met}) == 12  # two first, three then, in any order

    changes = np.tile(np.arange(5) % 2 == 0, (60, 1))
    doubts = np.tile(np.arange(5, dtype=np.int32), (60, 1))
    recording = Recording(changes, np.ones(60, np.bool_), doubts, np.zeros(60, np.int32))
    again = recording.weighted([1, 1, 0.5, 1, 1]).reordered(0, ranks)
    assert again.doubts is not None
    assert np.array_equal(np.sort(again.doubts[:, :2], axis=1), np.tile([1, 4], (60, 1)))
    assert np.array_equal(np.sort(again.doubts[:, 2:], axis=1), np.tile([0, 1, 3], (60, 1)))
    assert len({tuple(row) for row in again.doubts}) == 12
