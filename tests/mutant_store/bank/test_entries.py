import itertools
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from mutant_store.bank import entries
from mutant_store.bank.entries import entry_points
from mutant_store.graph.parameters import Parameters
from tests.support.layers import dense


def network(outputs: list[int]) -> Parameters:
    """Make layers that give ``outputs`` numbers for each image."""
    parameters = dense([4] * len(outputs), inputs=100)
    for position, count in enumerate(outputs):
        layer = parameters.layers[position]
        parameters.layers[position] = replace(layer, uses=(replace(layer.uses[0], outputs=count),))
    return parameters


def cost(parameters: Parameters, chosen: tuple[int, ...], first: NDArray[np.int64], *, shared: bool) -> float:
    """Return the multiply-adds of the whole pool, added up mutant by mutant."""
    total = entries._RUN * len(chosen) * len(first)
    for layer in first.tolist():
        entry = max(point for point in chosen if point <= layer)
        for position in range(entry, len(parameters.layers)):
            outputs = parameters.layers[position].uses[0].outputs
            products = 0 if shared and position == entry else 100 * outputs
            total += products + entries._PER_OUTPUT * outputs
    return total


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("seed", range(12))
def test_no_other_choice_of_entry_points_is_cheaper(seed: int, shared: bool) -> None:
    rng = np.random.default_rng(seed)
    parameters = network(rng.integers(1, 5000, 7).tolist())
    first = rng.integers(0, 7, 40)
    chosen = tuple(entry_points(parameters, first, shared=shared))
    candidates = np.unique(first).tolist()
    least = min(
        cost(parameters, points, first, shared=shared)
        for size in range(1, entries._MOST + 1)
        for points in itertools.combinations(candidates, size)
        if points[0] == candidates[0]
    )
    assert cost(parameters, chosen, first, shared=shared) == pytest.approx(least)
    assert list(chosen) == sorted(set(chosen))


def test_small_networks_are_not_cut_up() -> None:
    assert entry_points(network([5, 5, 5]), np.array([0, 1, 2]), shared=True) == [0]


def test_what_no_mutant_changes_is_not_an_entry_point() -> None:
    assert entry_points(network([90_000] * 5), np.array([2, 2, 4]), shared=True)[0] == 2
