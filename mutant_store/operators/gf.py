"""Gaussian Fuzzing (Ma et al., DeepMutation, 2018; Wang et al. 2019, Algorithm 3)."""

import numpy as np

from mutant_guard.bank.pool import Choice
from mutant_guard.errors import ModelError
from mutant_store.graph.parameters import Parameters
from mutant_store.operators.base import OwnWeights, chosen_count


class GaussianFuzzing(OwnWeights):
    """Operator that redraws ⌈Pγ⌉ of all P parameters, biases included.

    Each comes from a normal distribution with the mean and the standard deviation of the weight or
    bias tensor in which the parameter stands. A choice is ``positions`` int32 [k], ascending, and
    ``values`` float32 [k].
    """

    name = "gf"

    def draw(self, parameters: Parameters, rate: float, rng: np.random.Generator) -> Choice:
        """Draw positions and their new values.

        Raises:
            ModelError: every tensor is constant, so that redrawing changes nothing.
        """
        means, deviations = parameters.moments
        if not deviations.any():
            raise ModelError(
                "all weights of a layer are equal in every layer, so fuzzing them changes nothing"
            )
        total = len(parameters.values)
        count = chosen_count(total, rate)
        while True:
            positions = np.sort(rng.choice(total, size=count, replace=False))
            tensor = parameters.tensors_of(positions)
            values = (rng.standard_normal(count) * deviations[tensor] + means[tensor]).astype(np.float32)
            if (values != parameters.values[positions]).any():
                return {"positions": positions.astype(np.int32), "values": values}

    def population(self, parameters: Parameters) -> str:
        """Return the number of parameters, as text."""
        return f"{len(parameters.values):,} parameters"
