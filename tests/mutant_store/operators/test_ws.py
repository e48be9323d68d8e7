import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mutant_guard.bank.pool import Choice, patch
from mutant_guard.errors import ModelError
from mutant_store.graph.parameters import Parameters
from mutant_store.operators.base import chosen_count
from mutant_store.operators.ws import WeightShuffling
from tests.support.layers import dense, of_weights


def shuffled(parameters: Parameters, choice: Choice) -> np.ndarray:
    values = parameters.values.copy()
    positions, written = patch(choice, parameters.values)
    values[positions] = written
    return values


@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=4),
    st.integers(2, 9),
    st.floats(0.001, 1),
    st.integers(0, 2**32),
)
def test_the_chosen_neurons_weights_are_shuffled_within_them_and_biases_stay(
    sizes: list[int], inputs: int, rate: float, seed: int
) -> None:
    parameters = dense(sizes, inputs=inputs)
    choice = WeightShuffling().draw(parameters, rate, np.random.default_rng(seed))
    assert choice["positions"].dtype == choice["sources"].dtype == np.int32
    values, changed = shuffled(parameters, choice), 0
    biases = np.ones(len(values), dtype=np.bool_)
    for neuron in range(parameters.neurons):
        start, stop = parameters.incoming(neuron)
        biases[start:stop] = False
        before, after = parameters.values[start:stop], values[start:stop]
        assert np.array_equal(np.sort(before), np.sort(after))
        changed += not np.array_equal(before, after)
    assert changed == chosen_count(sum(sizes), rate)
    assert np.array_equal(values[biases], parameters.values[biases])


def test_neurons_no_shuffle_changes_are_passed_over() -> None:
    weights = np.vstack([np.ones((30, 4)), [[1.0, 1.0, 1.0, 2.0]]])
    parameters = of_weights([(weights, np.zeros(31))])
    for seed in range(20):
        values = shuffled(parameters, WeightShuffling().draw(parameters, 0.1, np.random.default_rng(seed)))
        assert not np.array_equal(values, parameters.values)


@pytest.mark.parametrize("inputs", [1, 3])
def test_equal_weights_alone_are_refused(inputs: int) -> None:
    parameters = of_weights([(np.ones((4, inputs)), np.zeros(4))])
    with pytest.raises(ModelError, match="no neuron has two different incoming weights"):
        WeightShuffling().draw(parameters, 0.5, np.random.default_rng(0))
