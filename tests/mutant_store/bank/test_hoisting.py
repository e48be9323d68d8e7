"""Work that is computed once per image for both signs.

That answers stay the same is tested in test_builder.
"""

from pathlib import Path

import numpy as np
import pytest
from torch import nn

from mutant_guard.bank.pool import of
from mutant_store.bank.builder import Bank, build_bank
from mutant_store.graph.classifier import load_classifier
from mutant_store.graph.graph import Graph
from mutant_store.graph.neurons import find_layers
from tests.support.networks import Residual, Tokens, convolutional, export, randomised

SHAPE = (2, 8, 8)


def bank_of(module: nn.Module, neurons: list[int], folder: Path) -> Bank:
    """Build a bank whose mutants negate one neuron each."""
    inputs = np.random.default_rng(0).standard_normal((4, *SHAPE)).astype(np.float32)
    classifier = load_classifier(export(randomised(module, 3), SHAPE, folder / "m.onnx"))
    pool = of("nai", [{"neurons": np.array([n], np.int32)} for n in neurons])
    return build_bank(classifier, find_layers(Graph(classifier.model)), pool, inputs)


def kinds(bank: Bank) -> list[str]:
    (tail,) = bank.tails
    return [node.op_type for node in tail.model.graph.node]


def test_activation_and_pooling_behind_the_first_layer_are_shared(tmp_path: Path) -> None:
    found = kinds(bank_of(convolutional(2, 8, (4, 6), 5), [0, 1], tmp_path))
    assert (found.count("MaxPool"), found.count("Relu")) == (0, 2)


def test_a_residual_sum_is_shared(tmp_path: Path) -> None:
    """The inner convolution's product, the sum and later layers depend on its signs by channel."""
    found = kinds(bank_of(Residual(2, 6, 5, softmax=False), [6, 7], tmp_path))
    assert "Relu" not in found
    assert "Conv" not in found


@pytest.mark.parametrize("neurons", [[0, 9], [10, 11]])
def test_a_sign_between_other_signs_stays(neurons: list[int], tmp_path: Path) -> None:
    """Signs of the entry layer alone are hoisted.

    The second layer's input depends on the mutant where the first layer is mutated too.
    """
    bank = bank_of(convolutional(2, 8, (4, 6), 5), [*neurons, 0], tmp_path)
    signs = [node for node in bank.tails[0].model.graph.node if node.output[0].endswith("_signed")]
    assert len(signs) == 1


def test_channels_on_the_last_axis_of_tokens_are_multiplied_as_before(tmp_path: Path) -> None:
    assert "Mul" in kinds(bank_of(Tokens(8, 6, 5), [0, 1], tmp_path))
