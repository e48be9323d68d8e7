"""The built bank: bank row = stand-alone ONNX mutant = reference on the torch module."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import nn

from mutant_guard.bank.bank_session import BankSession
from mutant_guard.bank.pool import Mutant, of
from mutant_store.bank.builder import Bank, build_bank
from mutant_store.bank.export import Mutants
from mutant_store.bank.verify import largest_difference
from mutant_store.graph.classifier import Classifier, check_scores, load_classifier
from mutant_store.graph.graph import Graph
from mutant_store.graph.neurons import find_layers, select_layers
from mutant_store.graph.parameters import Parameters
from mutant_store.operators import OPERATORS
from tests.support.networks import Residual, Tokens, answer, convolutional, export, randomised
from tests.support.references import REFERENCES, folded, weighted

SHAPE = (2, 8, 8)
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "convolutional": lambda: convolutional(2, 8, (4, 6), 5),
    "residual": lambda: Residual(2, 6, 5, softmax=False),
    "softmax": lambda: Residual(2, 6, 5, softmax=True),
    "tokens": lambda: Tokens(8, 6, 5),
    "one layer": lambda: nn.Sequential(nn.Flatten(), nn.Linear(128, 5)),
}
every_network = pytest.mark.parametrize("name", NETWORKS)


every_operator = pytest.mark.parametrize("operator", sorted(REFERENCES))


@dataclass(frozen=True)
class Prepared:
    """Torch module and the classifier exported from it, with inputs float32 [N, …]."""

    module: nn.Module
    classifier: Classifier
    parameters: Parameters
    inputs: NDArray[np.float32]

    def pool(self, operator: str, rate: float, mutants: int, seed: int = 0) -> list[Mutant]:
        rngs = (np.random.default_rng([seed, number]) for number in range(mutants))
        return of(operator, [OPERATORS[operator].draw(self.parameters, rate, rng) for rng in rngs])

    def bank(self, pool: list[Mutant]) -> Bank:
        return build_bank(self.classifier, self.parameters.layers, pool, self.inputs)

    def mutants(self, pool: list[Mutant]) -> Mutants:
        return Mutants(
            self.classifier.model, [layer.name for layer in self.parameters.layers], pool, "image", "out"
        )

    def check(self, pool: list[Mutant], session: BankSession | None = None) -> None:
        """Check that bank row, stand-alone mutant and reference agree for all mutants."""
        session = session or self.bank(pool).session(2)
        everyone = list(range(len(pool) + 1))
        assert largest_difference(session, self.mutants(pool), everyone, self.inputs) < 1e-4
        count = len(self.inputs)
        scores = session.scores(
            session.features(self.inputs),
            np.tile(np.arange(count), len(everyone)),
            np.repeat(np.array(everyone), count),
        ).reshape(len(everyone), count, -1)
        modules = [self.module, *(REFERENCES[m.operator](self.module, m.choice) for m in pool)]
        for own, reference in zip(scores, modules, strict=True):
            np.testing.assert_allclose(own, answer(reference, self.inputs), rtol=1e-3, atol=1e-4)
        assert (scores[0].argmax(axis=1) == self.classifier.scores(self.inputs).argmax(axis=1)).all()


def prepared(
    module: nn.Module, path: Path, inputs: NDArray[np.float32], layers_pattern: str = ""
) -> Prepared:
    classifier = load_classifier(export(module, inputs.shape[1:], path))
    check_scores(classifier, inputs)
    graph = Graph(classifier.model)
    return Prepared(
        module, classifier, Parameters(graph, select_layers(find_layers(graph), layers_pattern)), inputs
    )


def images(count: int, shape: tuple[int, ...] = SHAPE, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((count, *shape)).astype(np.float32)


@every_operator
@every_network
def test_bank_equals_stand_alone_mutants_and_the_torch_reference(
    name: str, operator: str, tmp_path: Path
) -> None:
    own = prepared(randomised(NETWORKS[name](), seed=3), tmp_path / "model.onnx", images(7))
    own.check(own.pool(operator, 0.4, 25))


@every_operator
@every_network
def test_mutants_that_change_little_enter_late(name: str, operator: str, tmp_path: Path) -> None:
    """At a low rate the first mutated layers differ, and so do the entry points."""
    own = prepared(randomised(NETWORKS[name](), seed=8), tmp_path / "model.onnx", images(5))
    layers = [layer.neurons for layer in own.parameters.layers]
    pool = own.pool(operator, 1.5 / max(layers) if operator == "ns" else 0.001, 25)
    own.check(pool)


@pytest.mark.parametrize("operators", [("nai", "ns"), ("nai", "gf"), ("gf", "nai", "ns", "ws")])
@every_network
def test_a_pool_of_several_operators(name: str, operators: tuple[str, ...], tmp_path: Path) -> None:
    own = prepared(randomised(NETWORKS[name](), seed=5), tmp_path / "model.onnx", images(5))
    pools = [own.pool(operator, 0.3, 6) for operator in operators]
    own.check([mutant for turn in zip(*pools, strict=True) for mutant in turn])


@every_operator
@every_network
def test_every_mutant_differs_from_the_original(name: str, operator: str, tmp_path: Path) -> None:
    own = prepared(randomised(NETWORKS[name](), seed=4), tmp_path / "model.onnx", images(5))
    mutants = own.mutants(own.pool(operator, 0.25, 8))
    for index in range(1, 9):
        changed = {t.name: t.raw_data for t in mutants.model(index).graph.initializer}
        assert changed != {t.name: t.raw_data for t in own.classifier.model.graph.initializer}


def test_neurons_are_channels_and_dense_outputs(tmp_path: Path) -> None:
    own = prepared(randomised(convolutional(1, 8, (4, 6), 5), 0), tmp_path / "m.onnx", images(3, (1, 8, 8)))
    assert [layer.neurons for layer in own.parameters.layers] == [4, 6, 12, 5]
    assert own.parameters.neurons == 27
    assert len(own.parameters.values) == sum(p.numel() for p in weighted_parameters(own.module))


def weighted_parameters(module: nn.Module) -> list[torch.Tensor]:
    return [p for layer in weighted(folded(module)) for p in layer.parameters()]


def test_mixed_rows_in_any_order_are_each_images_own(tmp_path: Path) -> None:
    own = prepared(randomised(NETWORKS["residual"](), 1), tmp_path / "m.onnx", images(6, seed=2))
    pool = [*own.pool("nai", 0.1, 20), *own.pool("gf", 0.1, 10)]
    session = own.bank(pool).session(2)
    features = session.features(own.inputs)
    rng = np.random.default_rng(3)
    image, mutant = rng.integers(0, 6, 200), rng.integers(0, 31, 200)
    together = session.scores(features, image, mutant)
    for row in range(0, 200, 9):
        alone = session.scores(
            session.features(own.inputs[image[row] : image[row] + 1]),
            np.zeros(1, np.int64),
            mutant[row : row + 1],
        )
        np.testing.assert_allclose(together[row], alone[0], rtol=1e-4, atol=1e-5)


def count_of(model: onnx.ModelProto, kind: str) -> int:
    return [node.op_type for node in model.graph.node].count(kind)


def test_what_precedes_the_first_change_runs_once_an_image(tmp_path: Path) -> None:
    own = prepared(randomised(NETWORKS["convolutional"](), 1), tmp_path / "m.onnx", images(4))
    pool = of("nai", [{"neurons": np.array([n], np.int32)} for n in (0, 0, 0, 4, 4, 4, 10, 10, 10)])
    bank = own.bank(pool)
    onnx.checker.check_model(bank.prefix)
    assert count_of(bank.prefix, "Conv") == 2
    for tail in bank.tails:
        onnx.checker.check_model(tail.model)
        first = {own.parameters.layer_of_neuron(int(pool[n - 1].choice["neurons"][0])) for n in tail.mutants}
        assert count_of(tail.model, "Conv") == max(0, 1 - min(first))
    own.check(pool)


def test_both_signs_of_the_first_mutated_layer_are_computed_once_an_image(tmp_path: Path) -> None:
    own = prepared(randomised(NETWORKS["convolutional"](), 1), tmp_path / "m.onnx", images(4))
    bank = own.bank(of("nai", [{"neurons": np.array([n], np.int32)} for n in range(4)]))
    assert [count_of(tail.model, "MaxPool") for tail in bank.tails] == [0]
    assert count_of(bank.prefix, "MaxPool") == 3  # the original's, and one for each sign


@every_operator
def test_only_the_chosen_layers_are_mutated_and_what_lies_before_runs_once_an_image(
    operator: str, tmp_path: Path
) -> None:
    own = prepared(randomised(NETWORKS["convolutional"](), 1), tmp_path / "m.onnx", images(4), "Gemm")
    assert [layer.op_type for layer in own.parameters.layers] == ["Gemm", "Gemm"]
    pool = own.pool(operator, 0.3, 10)
    bank = own.bank(pool)
    assert not any(count_of(tail.model, "Conv") for tail in bank.tails)
    session, mutants = bank.session(), own.mutants(pool)
    assert largest_difference(session, mutants, list(range(11)), own.inputs) < 1e-4


@pytest.mark.parametrize("operator", ["nai", "ns"])
def test_a_bank_of_many_mutants_shares_the_weights(operator: str, tmp_path: Path) -> None:
    own = prepared(
        randomised(convolutional(1, 28, (6, 16), 10), 1), tmp_path / "m.onnx", images(4, (1, 28, 28))
    )
    bank = own.bank(own.pool(operator, 0.1, 500))
    size = bank.prefix.ByteSize() + sum(tail.model.ByteSize() for tail in bank.tails)
    tables = 501 * own.parameters.neurons * (1 if operator == "nai" else 6)
    assert size < (1 + len(bank.tails)) * own.classifier.model.ByteSize() + tables + 32_768


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
    own = prepared(module, tmp_path / "m.onnx", images(4, (channels, 6, 6), seed))
    largest = max(layer.neurons for layer in own.parameters.layers)
    own.check(own.pool(operator, max(rate, 1.5 / largest) if operator == "ns" else rate, 5, seed))
