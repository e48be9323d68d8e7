"""Where mutants part from the original: a few entry points, each mutant at the last one before its first change."""

import numpy as np
from numpy.typing import NDArray

from mutant_store.graph.parameters import Parameters

_MOST = 6
"""Entry points of a bank. Every one holds a copy of the layers behind it and takes a run of its own a step."""
_PER_OUTPUT = 16.0
"""Cost of an output beside its products, in multiply-adds: bias, activation and mutation are bound by memory."""
_RUN = 25_000.0
"""Cost of one more run a step, in multiply-adds a row: about 50 µs over some 64 rows."""


def entry_points(parameters: Parameters, first_layers: NDArray[np.int64], *, shared: bool) -> list[int]:
    """Choose the entry points that make the whole pool cheapest to evaluate, by dynamic programming.

    Args:
        parameters: of the classifier's layers, whose sizes were measured.
        first_layers: int64 [M], position of the first layer each mutant changes.
        shared: whether the product of an entry's own layer is the original's as well, as where weights are shared.

    Returns:
        Positions of layers, ascending; a mutant enters at the last one that is not behind its first layer.
    """
    distinct, counts = np.unique(first_layers, return_counts=True)
    costs = [tail_cost(parameters, int(layer), shared=shared) for layer in distinct]
    # best[k][i]: the mutants from distinct layer i on, evaluated with k more entry points, the first of them at i
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
    """Multiply-adds a row that enters at a layer costs, its outputs' share included."""
    total = 0.0
    tensors = {tensor.name: tensor for tensor in parameters.tensors}
    for position in range(entry, len(parameters.layers)):
        layer = parameters.layers[position]
        weight = tensors[layer.weight]
        width = (weight.stop - weight.start) / layer.neurons
        outputs = sum(use.outputs for use in layer.uses)
        products = 0 if shared and position == entry else outputs * width
        total += products + _PER_OUTPUT * outputs
    return total
