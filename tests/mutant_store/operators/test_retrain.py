"""The operator whose mutants are trained instead of drawn."""

import numpy as np
import pytest

from mutant_guard.errors import ModelError
from mutant_store.operators.retrain import Retrain
from tests.support.layers import dense


def test_nothing_is_drawn() -> None:
    parameters = dense([3, 2])
    with pytest.raises(ModelError, match="trained and not drawn: it needs --train-data"):
        Retrain().draw(parameters, 0.5, np.random.default_rng(0))
    assert Retrain().population(parameters) == "the neurons of each of 2 layers"


def test_a_choice_is_all_parameters_and_enters_at_the_first_layer() -> None:
    parameters = dense([3, 2])
    assert Retrain().first_layer(parameters, {"values": parameters.values + 1}) == 0
