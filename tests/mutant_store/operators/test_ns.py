import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from mutant_guard.errors import ModelError
from mutant_store.graph.graph import Graph
from mutant_store.operators.base import chosen_count
from mutant_store.operators.ns import NeuronSwitch
from tests.support.layers import dense, of_weights


def drawn(sizes: list[int], rate: float, seed: int, groups: int = 1) -> list[tuple[int, int]]:
    choice = NeuronSwitch().draw(dense(sizes, groups=groups), rate, np.random.default_rng(seed))
    assert choice["neurons"].dtype == choice["sources"].dtype == np.int32
    return list(zip(choice["neurons"].tolist(), choice["sources"].tolist(), strict=True))


@given(st.lists(st.integers(1, 60), min_size=1, max_size=5), st.floats(0.01, 1), st.integers(0, 2**32))
def test_each_layer_exchanges_its_share_and_no_chosen_neuron_keeps_its_weights(
    sizes: list[int], rate: float, seed: int
) -> None:
    counts = [chosen_count(size, rate) for size in sizes]
    if max(counts) < 2:
        return
    pairs = drawn(sizes, rate, seed)
    assert all(neuron != source for neuron, source in pairs)
    offset = 0
    for size, count in zip(sizes, counts, strict=True):
        own = [(a, b) for a, b in pairs if offset <= a < offset + size]
        assert len(own) == (count if count >= 2 else 0)
        assert {a for a, _ in own} == {b for _, b in own}
        offset += size


def test_an_operator_set_without_a_gather_by_row_is_refused_with_the_one_that_has_it() -> None:
    parameters = dense([4])
    graph = Graph(
        helper.make_model(helper.make_graph([], "g", [], []), opset_imports=[helper.make_opsetid("", 9)])
    )
    with pytest.raises(
        ModelError, match="ns needs operator set 12, and the model has 9: export it with 12 or newer"
    ):
        NeuronSwitch().weave(graph, parameters, [None])


@given(st.integers(2, 8), st.integers(2, 6), st.integers(0, 2**32))
def test_grouped_convolutions_exchange_within_a_group(size: int, groups: int, seed: int) -> None:
    for neuron, source in drawn([size * groups], 0.9, seed, groups):
        assert neuron // size == source // size


def test_a_rate_that_switches_nothing_is_refused_and_the_least_that_works_is_named() -> None:
    sizes = [6, 120, 84]
    with pytest.raises(ModelError, match=r"the largest layer, of 120 neurons, needs a rate above 0.00833333"):
        NeuronSwitch().draw(dense(sizes), 1 / 120, np.random.default_rng(0))
    assert len(drawn(sizes, 0.00834, 0)) == 2


def test_depthwise_convolutions_alone_cannot_be_switched() -> None:
    with pytest.raises(ModelError, match="no layer has two neurons that read the same inputs"):
        NeuronSwitch().draw(dense([8], groups=8), 0.5, np.random.default_rng(0))


def test_all_derangements_are_drawn_equally() -> None:
    seen = {tuple(drawn([4], 1, seed)) for seed in range(400)}
    assert len(seen) == 9  # the number of derangements of four


def test_neurons_of_equal_weights_alone_do_not_make_a_mutant() -> None:
    parameters = of_weights([(np.vstack([np.ones((20, 3)), np.full((2, 3), 2.0)]), np.zeros(22))])
    for seed in range(30):
        choice = NeuronSwitch().draw(parameters, 0.1, np.random.default_rng(seed))
        assert ((choice["neurons"] >= 20) != (choice["sources"] >= 20)).any()
    with pytest.raises(ModelError, match="all have the same weights, so switching changes nothing"):
        NeuronSwitch().draw(of_weights([(np.ones((9, 3)), np.arange(9.0))]), 0.5, np.random.default_rng(0))
