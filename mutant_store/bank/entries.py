"""Entry points of a bank: the layers at which mutants part from the original.

A bank has few of them. Each mutant enters at the last one before its first change.
"""

import numpy as np
from numpy.typing import NDArray

from mutant_store.graph.parameters import Parameters

_MOST = 6
"""Largest number of entry points of a bank.

Every entry point holds a copy of the layers behind it and takes a run of its own in every step.
"""
_PER_OUTPUT = 16.0
"""Cost of an output besides its products, in multiply-adds.

Bias, activation and mutation are bound by memory.
"""
_RUN = 25_000.0
"""Cost of one more run in a step, in multiply-adds per row: about 50 µs over some 64 rows."""


def entry_points(parameters: Parameters, first_layers: NDArray[np.int64], *, shared: bool) -> list[int]:
    """Choose the entry points that make the whole pool cheapest to evaluate.

    The choice is made by dynamic programming.

    Args:
        parameters: parameters of the classifier's layers, whose sizes were measured.
        first_layers: int64 [M], position of the first layer that each mutant changes.
        shared: whether the mutants share the original's weights; then the product of an entry's own
            layer is the original's as well, and costs a row nothing.

    Returns:
        Positions of the chosen layers, ascending; a mutant enters at the last one that is not
            behind its first layer.
    """
    distinct, counts = np.unique(first_layers, return_counts=True)
    costs = [tail_cost(parameters, int(layer), shared=shared) for layer in distinct]
    # best[k][i]: least cost of the mutants from distinct layer i on, with at most k more entry
    # points, the first of them at i
    size = len(distinct)
    behind = np.append(np.cumsum(counts[::-1])[::-1], 0)
    best = [[np.inf] * size for _ in range(_MOST + 1)]
    following: dict[tuple[int, int], int] = {}
    for k in range(1, _MOST + 1):
        for i in range(size):
            best[k][i] = costs[i] * behind[i] + _RUN * len(first_layers)
            following[k, i] = size
            for j in range(i + 1, size) if k > 1 else ():
                cost = costs[i] * (behind[i] - behind[j]) + _RUN * len(first_layers) + best[k - 1][j]
                if cost < best[k][i]:
                    best[k][i], following[k, i] = cost, j
    chosen, k, i = [], _MOST, 0
    while i < size:
        chosen.append(int(distinct[i]))
        i, k = following[k, i], k - 1
    return chosen


def tail_cost(parameters: Parameters, entry: int, *, shared: bool) -> float:
    """Return the multiply-adds of a row that enters at a layer, the cost of the outputs included.

    Args:
        parameters: parameters of the classifier's layers, whose sizes were measured.
        entry: position of the layer.
        shared: whether the product of that layer is the original's, as where weights are shared.
    """
    total = 0.0
    for position in range(entry, len(parameters.layers)):
        outputs = sum(use.outputs for use in parameters.layers[position].uses)
        products = 0 if shared and position == entry else parameters.products(position)
        total += products + _PER_OUTPUT * outputs
    return total
