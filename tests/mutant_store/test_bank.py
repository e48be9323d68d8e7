"""Bank row = stand-alone ONNX mutant = an independent reference on the torch module."""

import copy
import itertools
from collections.abc import Callable
from math import ceil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mutant_store.bank import build_bank
from mutant_store.classifier import Classifier, check_scores, load_classifier
from mutant_store.export import Mutants
from mutant_store.graph import Graph
from mutant_store.neurons import Layer, find_layers, neuron_count, select_layers
from mutant_store.operators import OPERATORS
from mutant_store.operators.nai import NeuronActivationInverse
from mutant_store.rows import measure_rows
from mutant_store.session import BankSession
from mutant_store.verify import largest_difference
from tests.support.networks import Residual, Tokens, answer, convolutional, export, randomised

SHAPE = (2, 8, 8)
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "convolutional": lambda: convolutional(2, 8, (4, 6), 5),
    "residual": lambda: Residual(2, 6, 5, softmax=False),
    "softmax": lambda: Residual(2, 6, 5, softmax=True),
    "tokens": lambda: Tokens(8, 6, 5),
    "one layer": lambda: nn.Sequential(nn.Flatten(), nn.Linear(128, 5)),
}
every_network = pytest.mark.parametrize("name", NETWORKS)


def prepared(module: nn.Module, path: Path, inputs: NDArray[np.float32]) -> tuple[Classifier, list[Layer]]:
    classifier = load_classifier(export(module, inputs.shape[1:], path))
    check_scores(classifier, inputs)
    return classifier, measure_rows(classifier, find_layers(Graph(classifier.model)), inputs)


def pool_of(
    layers: list[Layer], rate: float, mutants: int, seed: int = 0, operator: str = "nai"
) -> NDArray[np.int32]:
    draws = [OPERATORS[operator].draw(layers, rate, np.random.default_rng([seed, i])) for i in range(mutants)]
    return np.array(draws, dtype=np.int32)


def negated(module: nn.Module, choice: NDArray[np.int32]) -> nn.Module:
    """NAI on the torch module: neurons counted over weighted layers in forward order, weights and bias negated.

    A convolution that a batch normalisation follows is negated together with it, as the two are one layer
    once folded: negating the normalised output is negating its scale and shift.
    """
    mutant = copy.deepcopy(module)
    weighted = [part for part in mutant.modules() if isinstance(part, nn.Conv2d | nn.Linear)]
    parts = list(mutant.modules())
    offset = 0
    with torch.no_grad():
        for layer in weighted:
            neurons = layer.weight.shape[0]
            mine = [int(n) - offset for n in choice if offset <= n < offset + neurons]
            offset += neurons
            following = parts[parts.index(layer) + 1] if parts.index(layer) + 1 < len(parts) else None
            folded = (
                following if isinstance(following, nn.BatchNorm2d) and isinstance(layer, nn.Conv2d) else None
            )
            for neuron in mine:
                targets = [folded.weight, folded.bias] if folded is not None else [layer.weight, layer.bias]
                for parameter in targets:
                    if parameter is not None:
                        parameter[neuron] *= -1
    return mutant


def switched(module: nn.Module, choice: NDArray[np.int32]) -> nn.Module:
    """NS on the torch module, its batch normalisation folded by torch's own utility; pairs (neuron, source)."""
    mutant = copy.deepcopy(module)
    for parent in list(mutant.modules()):
        children = list(parent.named_children())
        for (name, child), (next_name, following) in itertools.pairwise(children):
            if isinstance(child, nn.Conv2d) and isinstance(following, nn.BatchNorm2d):
                setattr(parent, name, fuse_conv_bn_eval(child, following))
                setattr(parent, next_name, nn.Identity())
    offset = 0
    with torch.no_grad():
        for layer in [part for part in mutant.modules() if isinstance(part, nn.Conv2d | nn.Linear)]:
            neurons = layer.weight.shape[0]
            original = layer.weight.clone()
            for neuron, source in choice.reshape(-1, 2).tolist():
                if offset <= neuron < offset + neurons:
                    layer.weight[neuron - offset] = original[source - offset]
            offset += neurons
    return mutant


REFERENCES = {"nai": negated, "ns": switched}
every_operator = pytest.mark.parametrize("operator", REFERENCES)


@every_operator
@every_network
def test_bank_equals_stand_alone_mutants_and_the_torch_reference(
    name: str, operator: str, tmp_path: Path
) -> None:
    module = randomised(NETWORKS[name](), seed=3)
    inputs = np.random.default_rng(0).standard_normal((7, *SHAPE)).astype(np.float32)
    classifier, layers = prepared(module, tmp_path / "model.onnx", inputs)
    pool = pool_of(layers, 0.4, 25, operator=operator)
    session = build_bank(classifier, layers, OPERATORS[operator], pool, inputs).session()
    mutants = Mutants(classifier.model, operator, [layer.name for layer in layers], pool, "image", "out")
    assert largest_difference(session, mutants, list(range(26)), inputs) < 1e-4
    features = session.features(inputs)
    rows = np.arange(7)
    for index in range(26):
        scores = session.scores(features, rows, np.full(7, index))
        reference = answer(REFERENCES[operator](module, pool[index - 1]) if index else module, inputs)
        np.testing.assert_allclose(scores, reference, rtol=1e-3, atol=1e-4)


@every_operator
@every_network
def test_every_mutant_differs_from_the_original(name: str, operator: str, tmp_path: Path) -> None:
    module = randomised(NETWORKS[name](), seed=4)
    inputs = np.random.default_rng(1).standard_normal((5, *SHAPE)).astype(np.float32)
    classifier, layers = prepared(module, tmp_path / "model.onnx", inputs)
    pool = pool_of(layers, 0.25, 8, operator=operator)
    original, mutants = (
        classifier.model,
        Mutants(classifier.model, operator, [layer.name for layer in layers], pool, "image", "out"),
    )
    for index in range(1, 9):
        changed = {t.name: t.raw_data for t in mutants.model(index).graph.initializer}
        assert changed != {t.name: t.raw_data for t in original.graph.initializer}


def test_neurons_are_channels_and_dense_outputs(tmp_path: Path) -> None:
    inputs = np.zeros((3, 1, 8, 8), np.float32)
    _, layers = prepared(randomised(convolutional(1, 8, (4, 6), 5), 0), tmp_path / "m.onnx", inputs)
    assert [layer.neurons for layer in layers] == [4, 6, 12, 5]
    assert pool_of(layers, 0.05, 1).shape == (1, ceil(27 * 0.05))


def test_mixed_rows_in_any_order_are_each_images_own(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    inputs = rng.standard_normal((6, *SHAPE)).astype(np.float32)
    classifier, layers = prepared(randomised(NETWORKS["residual"](), 1), tmp_path / "m.onnx", inputs)
    session = build_bank(
        classifier, layers, NeuronActivationInverse(), pool_of(layers, 0.1, 30), inputs
    ).session()
    features = session.features(inputs)
    image, mutant = rng.integers(0, 6, 200), rng.integers(0, 31, 200)
    together = session.scores(features, image, mutant)
    for row in range(0, 200, 9):
        alone = session.scores(
            session.features(inputs[image[row] : image[row] + 1]),
            np.zeros(1, np.int64),
            mutant[row : row + 1],
        )
        np.testing.assert_allclose(together[row], alone[0], rtol=1e-4, atol=1e-5)


def test_the_first_mutated_convolution_runs_once_an_image(tmp_path: Path) -> None:
    inputs = np.random.default_rng(2).standard_normal((4, *SHAPE)).astype(np.float32)
    classifier, layers = prepared(randomised(NETWORKS["convolutional"](), 1), tmp_path / "m.onnx", inputs)
    bank = build_bank(classifier, layers, NeuronActivationInverse(), pool_of(layers, 0.1, 4), inputs)
    assert [node.op_type for node in bank.prefix.graph.node].count("Conv") == 1
    assert [node.op_type for node in bank.bank.graph.node].count("Conv") == 1
    onnx.checker.check_model(bank.prefix)
    onnx.checker.check_model(bank.bank)


@every_operator
def test_only_the_chosen_layers_are_mutated_and_what_lies_before_runs_once_an_image(
    operator: str, tmp_path: Path
) -> None:
    inputs = np.random.default_rng(2).standard_normal((4, *SHAPE)).astype(np.float32)
    classifier, layers = prepared(randomised(NETWORKS["convolutional"](), 1), tmp_path / "m.onnx", inputs)
    chosen = select_layers(layers, "Gemm")
    assert [layer.op_type for layer in chosen] == ["Gemm", "Gemm"]
    pool = pool_of(chosen, 0.3, 10, operator=operator)
    bank = build_bank(classifier, chosen, OPERATORS[operator], pool, inputs)
    assert "Conv" not in {node.op_type for node in bank.bank.graph.node}
    mutants = Mutants(classifier.model, operator, [layer.name for layer in chosen], pool, "image", "out")
    assert largest_difference(bank.session(), mutants, list(range(11)), inputs) < 1e-4


def test_a_bank_of_many_mutants_shares_the_weights(tmp_path: Path) -> None:
    inputs = np.random.default_rng(2).standard_normal((4, 1, 28, 28)).astype(np.float32)
    classifier, layers = prepared(
        randomised(convolutional(1, 28, (6, 16), 10), 1), tmp_path / "m.onnx", inputs
    )
    bank = build_bank(classifier, layers, NeuronActivationInverse(), pool_of(layers, 0.05, 500), inputs)
    signs = 501 * neuron_count(layers)
    assert bank.bank.ByteSize() + bank.prefix.ByteSize() < classifier.model.ByteSize() + signs + 8192


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    channels=st.sampled_from([1, 3]),
    widths=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    classes=st.integers(2, 6),
    rate=st.floats(0.01, 1),
    seed=st.integers(0, 2**16),
    operator=st.sampled_from(sorted(REFERENCES)),
)
def test_random_networks(
    tmp_path: Path,
    channels: int,
    widths: tuple[int, int],
    classes: int,
    rate: float,
    seed: int,
    operator: str,
) -> None:
    module = randomised(convolutional(channels, 6, widths, classes), seed)
    inputs = np.random.default_rng(seed).standard_normal((4, channels, 6, 6)).astype(np.float32)
    classifier, layers = prepared(module, tmp_path / "m.onnx", inputs)
    largest = max(layer.neurons for layer in layers)
    pool = pool_of(layers, rate if operator == "nai" else max(rate, 1.5 / largest), 5, seed, operator)
    session: BankSession = build_bank(classifier, layers, OPERATORS[operator], pool, inputs).session()
    features = session.features(inputs)
    for index in range(6):
        scores = session.scores(features, np.arange(4), np.full(4, index))
        reference = answer(REFERENCES[operator](module, pool[index - 1]) if index else module, inputs)
        np.testing.assert_allclose(scores, reference, rtol=1e-3, atol=1e-4)
