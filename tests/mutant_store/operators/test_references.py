"""The references that mutants are compared with, tested on their own."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from tests.support.networks import Residual, answer, convolutional, randomised
from tests.support.references import REFERENCES, folded, fuzzed, negated, parameters, shuffled, switched

INPUTS = np.random.default_rng(0).standard_normal((4, 2, 8, 8)).astype(np.float32)


@pytest.fixture(params=["convolutional", "residual"])
def network(request: pytest.FixtureRequest) -> nn.Module:
    """Return a network of four layers or of three, with 4, 6, … neurons.

    Batch normalisation follows some of the layers.
    """
    convolutions = request.param == "convolutional"
    module = convolutional(2, 8, (4, 6), 5) if convolutions else Residual(2, 4, 5, softmax=False)
    return randomised(module, seed=2)


def ints(*numbers: int) -> NDArray[np.int32]:
    return np.array(numbers, np.int32)


def test_folding_changes_no_answer(network: nn.Module) -> None:
    before = answer(network, INPUTS)
    np.testing.assert_allclose(answer(folded(network), INPUTS), before, rtol=1e-4, atol=1e-4)
    assert (answer(network, INPUTS) == before).all()


def test_negating_twice_is_the_identity(network: nn.Module) -> None:
    choice = {"neurons": ints(0, 3, 5)}
    once = negated(network, choice)
    assert not np.allclose(answer(once, INPUTS), answer(network, INPUTS))
    assert (answer(negated(once, choice), INPUTS) == answer(network, INPUTS)).all()


def test_negating_is_negating_the_folded_parameters(network: nn.Module) -> None:
    """Scale and shift of a batch normalisation stand for its layer's weights and bias."""
    choice = {"neurons": ints(1, 4, 6)}
    one, other = folded(negated(network, choice)), negated(folded(network), choice)
    torch.testing.assert_close(parameters(one), parameters(other), rtol=1e-5, atol=1e-6)


def test_switching_swaps_rows_of_weights_and_leaves_biases(network: nn.Module) -> None:
    before, after = folded(network), switched(network, {"neurons": ints(0, 2), "sources": ints(2, 0)})
    one, other = (next(m for m in mutant.modules() if isinstance(m, nn.Conv2d)) for mutant in (before, after))
    assert torch.equal(other.weight, one.weight[[2, 1, 0, 3]])
    assert one.bias is not None
    assert other.bias is not None
    assert torch.equal(other.bias, one.bias)
    rest = slice(one.weight.numel(), None)
    assert torch.equal(parameters(before)[rest], parameters(after)[rest])


def test_fuzzing_sets(network: nn.Module) -> None:
    last = len(parameters(folded(network))) - 1
    choice = {"positions": ints(0, 7, last), "values": np.array([9, 8, 7], np.float32)}
    before, after = parameters(folded(network)), parameters(fuzzed(network, choice))
    assert after[[0, 7, last]].tolist() == [9, 8, 7]
    assert (before != after).sum() == 3
    dense = [module for module in fuzzed(network, choice).modules() if isinstance(module, nn.Linear)][-1]
    assert dense.bias[-1] == 7


def test_shuffling_permutes_within_one_neuron(network: nn.Module) -> None:
    width = 2 * 3 * 3
    inside = np.arange(width, 2 * width, dtype=np.int32)
    choice = {"positions": inside, "sources": np.roll(inside, 1)}
    before, after = (
        next(m for m in mutant.modules() if isinstance(m, nn.Conv2d)).weight.detach().flatten(1)
        for mutant in (folded(network), shuffled(network, choice))
    )
    assert torch.equal(after[1], before[1].roll(1))
    assert torch.equal(after[[0, 2, 3]], before[[0, 2, 3]])


@pytest.mark.parametrize("operator", REFERENCES)
def test_the_module_itself_is_left_alone(network: nn.Module, operator: str) -> None:
    before = {name: value.clone() for name, value in network.state_dict().items()}
    everything = {"neurons": ints(0, 1), "positions": ints(0, 1), "values": np.ones(2, np.float32)}
    REFERENCES[operator](network, {**everything, "sources": ints(1, 0)})
    after = network.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
