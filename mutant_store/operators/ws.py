"""Weight Shuffling (Ma et al., DeepMutation, 2018; Wang et al. 2019, Algorithm 4)."""

import numpy as np

from mutant_guard.bank.pool import Choice
from mutant_guard.errors import ModelError
from mutant_store.graph.parameters import Parameters
from mutant_store.operators.base import OwnWeights, chosen_count


class WeightShuffling(OwnWeights):
    """Operator that shuffles the incoming weights inside each of ⌈Nγ⌉ of all N neurons.

    Biases stay. Neurons whose incoming weights are all equal, which no shuffle changes, are passed
    over. A choice is ``positions`` int32 [k], ascending, and ``sources`` int32 [k]: the positions
    from which the parameters' new values come.
    """

    name = "ws"

    def draw(self, parameters: Parameters, rate: float, rng: np.random.Generator) -> Choice:
        """Draw neurons and a permutation of each one's weights that changes them.

        Raises:
            ModelError: no neuron has two different weights.
        """
        count = chosen_count(parameters.neurons, rate)
        spans: list[tuple[int, int]] = []
        for neuron in rng.permutation(parameters.neurons):
            start, stop = parameters.incoming(int(neuron))
            if (parameters.values[start:stop] != parameters.values[start]).any():
                spans.append((start, stop))
            if len(spans) == count:
                break
        if not spans:
            raise ModelError(
                "no neuron has two different incoming weights, so none can be shuffled; use another operator"
            )
        positions, sources = [], []
        for start, stop in sorted(spans):
            weights = parameters.values[start:stop]
            order = rng.permutation(stop - start)
            while np.array_equal(weights[order], weights):
                order = rng.permutation(stop - start)
            moved = np.flatnonzero(order != np.arange(stop - start))
            positions.append(start + moved)
            sources.append(start + order[moved])
        return {
            "positions": np.concatenate(positions).astype(np.int32),
            "sources": np.concatenate(sources).astype(np.int32),
        }

    def population(self, parameters: Parameters) -> str:
        """Return the number of neurons, as text."""
        return f"{parameters.neurons:,} neurons"
