from math import ceil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mutant_guard.errors import ModelError
from mutant_store.operators.base import chosen_count
from mutant_store.operators.nai import NeuronActivationInverse
from tests.support.layers import dense, of_weights


@given(
    st.lists(st.integers(1, 50), min_size=1, max_size=5),
    st.floats(0.001, 1),
    st.integers(0, 2**32),
    st.integers(0, 999),
)
def test_choice_is_distinct_neurons_of_the_whole_model(
    sizes: list[int], rate: float, seed: int, number: int
) -> None:
    parameters = dense(sizes)
    choice = NeuronActivationInverse().draw(parameters, rate, np.random.default_rng([seed, number]))
    chosen = choice["neurons"]
    assert chosen.dtype == np.int32
    assert len(set(chosen.tolist())) == len(chosen) == chosen_count(sum(sizes), rate)
    assert len(chosen) >= 1
    assert 0 <= chosen.min()
    assert chosen.max() < sum(sizes)
    first = NeuronActivationInverse().first_layer(parameters, choice)
    assert sum(sizes[:first]) <= chosen.min() < sum(sizes[: first + 1])


def test_choice_depends_on_seed_and_number_alone() -> None:
    operator, parameters = NeuronActivationInverse(), dense([200])
    draws = [
        operator.draw(parameters, 0.05, np.random.default_rng([7, 3]))["neurons"].tolist() for _ in range(2)
    ]
    other = operator.draw(parameters, 0.05, np.random.default_rng([7, 4]))["neurons"].tolist()
    assert draws[0] == draws[1] != other


@pytest.mark.parametrize(
    ("total", "rate", "expected"),
    [(236, 0.05, 12), (100, 0.07, 7), (236, 0.01, 3), (10, 1, 10), (3, 0.001, 1)],
)
def test_count_is_rounded_up_without_float_error(total: int, rate: float, expected: int) -> None:
    assert chosen_count(total, rate) == expected >= ceil(total * rate - 1e-9)


@pytest.mark.parametrize("rate", [0, -0.1, 1.1])
def test_rates_outside_the_unit_interval_are_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        chosen_count(10, rate)


def test_pruned_neurons_alone_do_not_make_a_mutant() -> None:
    parameters = of_weights([(np.vstack([np.zeros((40, 3)), np.ones((2, 3))]), np.zeros(42))])
    for seed in range(30):
        choice = NeuronActivationInverse().draw(parameters, 0.05, np.random.default_rng(seed))
        assert len(choice["neurons"]) == 3
        assert choice["neurons"].max() >= 40
    with pytest.raises(ModelError, match="all weights of all layers are 0"):
        NeuronActivationInverse().draw(
            of_weights([(np.zeros((4, 3)), np.ones(4))]), 0.5, np.random.default_rng(0)
        )
