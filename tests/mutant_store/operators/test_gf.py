import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mutant_guard.errors import ModelError
from mutant_store.operators.base import chosen_count
from mutant_store.operators.gf import GaussianFuzzing
from tests.support.layers import dense, of_weights


@given(st.lists(st.integers(1, 30), min_size=1, max_size=4), st.floats(0.001, 1), st.integers(0, 2**32))
def test_choice_is_distinct_parameters_of_the_whole_model(sizes: list[int], rate: float, seed: int) -> None:
    parameters = dense(sizes)
    total = sum(4 * size for size in sizes)
    assert GaussianFuzzing().population(parameters) == f"{total:,} parameters"
    choice = GaussianFuzzing().draw(parameters, rate, np.random.default_rng(seed))
    positions = choice["positions"]
    assert positions.dtype == np.int32
    assert choice["values"].dtype == np.float32
    assert len(set(positions.tolist())) == len(positions) == chosen_count(total, rate)
    assert 0 <= positions.min() <= positions.max() < total
    assert (choice["values"] != parameters.values[positions]).any()


def test_values_follow_the_normal_distribution_of_their_own_tensor() -> None:
    rng = np.random.default_rng(5)
    parameters = of_weights(
        [
            (rng.normal(3, 0.1, (40, 25)), rng.normal(-2, 4, 40)),
            (rng.normal(0, 7, (20, 40)), np.zeros(20)),
        ]
    )
    drawn = [
        GaussianFuzzing().draw(parameters, 1, np.random.default_rng([0, i]))["values"] for i in range(60)
    ]
    values = np.array(drawn)
    for tensor in parameters.tensors:
        own = parameters.values[tensor.start : tensor.stop]
        fuzzed = values[:, tensor.start : tensor.stop]
        spread = own.std() / np.sqrt(fuzzed.size)
        assert abs(fuzzed.mean() - own.mean()) <= 5 * spread + 1e-6
        assert fuzzed.std() == pytest.approx(own.std(), rel=0.1, abs=1e-6)


def test_parameters_that_redrawing_leaves_as_they_are_do_not_make_a_mutant() -> None:
    """Positions mostly lie in tensors without deviation.

    A mutant always has at least one in another tensor.
    """
    parameters = of_weights([(np.ones((50, 3)), np.zeros(50)), (np.array([[1.0, 2.0, 3.0]]), np.zeros(1))])
    for seed in range(50):
        choice = GaussianFuzzing().draw(parameters, 0.005, np.random.default_rng(seed))
        assert (choice["values"] != parameters.values[choice["positions"]]).any()


def test_constant_tensors_alone_are_refused() -> None:
    with pytest.raises(ModelError, match="fuzzing them changes nothing"):
        GaussianFuzzing().draw(of_weights([(np.ones((4, 3)), np.zeros(4))]), 0.5, np.random.default_rng(0))
