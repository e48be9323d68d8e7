"""Operator of mutants that are redrawn in part and trained again; see ``retraining``."""

import numpy as np

from mutant_guard.bank.pool import Choice
from mutant_guard.errors import ModelError
from mutant_store.graph.parameters import Parameters
from mutant_store.operators.base import OwnWeights


class Retrain(OwnWeights):
    """Operator that redraws a share of the neurons of every layer and trains the network again.

    A choice is ``values`` float32 [P], all parameters. They are not drawn but trained, by
    ``Retrainer``.
    """

    name = "retrain"
    decks = 1024  # a pool has few mutants, and the first one that a request meets must stay a secret

    def draw(self, parameters: Parameters, rate: float, rng: np.random.Generator) -> Choice:
        """Refuse to draw: these mutants are trained.

        Raises:
            ModelError: always.
        """
        raise ModelError("mutants of the operator retrain are trained and not drawn: it needs --train-data")

    def population(self, parameters: Parameters) -> str:
        """Return the text for the neurons of each layer."""
        return f"the neurons of each of {len(parameters.layers)} layers"
