"""Every operator on every kind of classifier: bank row = stand-alone mutant = reference."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from torch import nn

from mutant_guard.bank.pool import Mutant
from mutant_store.bank.builder import build_bank
from mutant_store.bank.export import Mutants
from mutant_store.bank.verify import largest_difference
from mutant_store.datasets import load
from mutant_store.graph.classifier import Classifier, check_scores, load_classifier
from mutant_store.graph.graph import Graph
from mutant_store.graph.neurons import find_layers
from mutant_store.graph.parameters import Parameters
from mutant_store.networks import CLASSIFIERS
from mutant_store.networks.inference import normalised
from mutant_store.operators import OPERATORS
from mutant_store.threads import one_thread
from tests.support.foreign import train_perceptron
from tests.support.networks import (
    Residual,
    Reused,
    Separable,
    answer,
    export,
    flat,
    randomised,
    settled,
)
from tests.support.references import REFERENCES
from tests.support.transformers import VisionTransformer

pytestmark = pytest.mark.slow

TOLERANCE = 1e-3
"""Largest difference of scores that float32 explains, relative to an image's largest score."""

Images = NDArray[np.float32]
Reference = Callable[[Mutant], NDArray[Any]]


@dataclass(frozen=True)
class Case:
    """Torch network, shape of its images, options of its export, and share of mutated neurons."""

    build: Callable[[], nn.Module]
    shape: tuple[int, ...]
    options: dict[str, Any] = field(default_factory=dict)
    rate: float = 0.3


SMALL = {
    "transformer": Case(lambda: VisionTransformer(2, 8, 5), (2, 8, 8)),
    "fused attention": Case(lambda: VisionTransformer(2, 8, 5, fused=True), (2, 8, 8), {"raw": False}),
    "depthwise": Case(lambda: Separable(3, 4, 5), (3, 8, 8)),
    "one dimension": Case(lambda: flat(64, 7, 5), (64,)),
    "reused": Case(lambda: Reused(3, 6, 5), (6, 6, 3)),
    "softmax": Case(lambda: Residual(2, 6, 5, softmax=True), (2, 8, 8)),
    "batches of one": Case(lambda: Residual(2, 6, 5, softmax=False), (2, 8, 8), {"dynamic": False}),
    "transformer, batches of one": Case(lambda: VisionTransformer(2, 8, 5), (2, 8, 8), {"dynamic": False}),
}
DRAWN = sorted(OPERATORS.keys() - {"retrain", "companion", "robust"})
"""Operators that draw.

Tests of trained mutants are in ``retraining`` and ``test_session_tail.py``.
"""
every_operator = pytest.mark.parametrize("operator", DRAWN)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Run torch on one thread.

    Beside other work, threads of torch that wait for each other cost many times the sums.
    """
    with one_thread():
        yield


def real_digits(shape: tuple[int, ...]) -> Images:
    """Return 1,000 of scikit-learn's digits in a shape, with shifted copies as further channels."""
    images = (load_digits().images[:1000].astype(np.float32) / 16 - 0.3053) / 0.3761
    if len(shape) == 1:
        return np.asarray(images.reshape(1000, -1)[:, : shape[0]])
    last = shape[-1] < shape[0]
    channels, size = (shape[-1], shape[0]) if last else (shape[0], shape[1])
    moved = [np.roll(images, channel, axis=2)[:, :size, :size] for channel in range(channels)]
    return np.ascontiguousarray(np.stack(moved, axis=-1 if last else 1))


def pool_of(classifier: Classifier, operators: list[str], rate: float, each: int) -> list[Mutant]:
    parameters = Parameters(Graph(classifier.model), find_layers(Graph(classifier.model)))
    return [
        Mutant(name, OPERATORS[name].draw(parameters, rate, np.random.default_rng([7, number])))
        for name in operators
        for number in range(each)
    ]


def assert_all_agree(
    classifier: Classifier, pool: list[Mutant], inputs: Images, original: NDArray[Any], reference: Reference
) -> None:
    """Check that bank rows, stand-alone mutants and references agree on all images."""
    layers = find_layers(Graph(classifier.model))
    session = build_bank(classifier, layers, pool, inputs[:4]).session(threads=1)
    names = [layer.name for layer in layers]
    mutants = Mutants(classifier.model, names, pool, classifier.input_name, classifier.output_name)
    largest_difference(session, mutants, list(range(len(pool) + 1)), inputs)

    features, rows = session.features(inputs), np.arange(len(inputs))
    changed = 0
    for index, expected in enumerate([original, *map(reference, pool)]):
        scores = session.scores(features, rows, np.full(len(inputs), index))
        slack = TOLERANCE * np.abs(expected).max(axis=1)
        assert (np.abs(scores - expected).max(axis=1) <= slack).all()
        second, first = np.sort(expected, axis=1)[:, -2:].T
        clear = first - second > 2 * slack
        assert clear.mean() > 0.8
        assert (scores.argmax(axis=1) == expected.argmax(axis=1))[clear].all()
        changed += index > 0 and not np.allclose(scores, original, rtol=TOLERANCE, atol=TOLERANCE)
    assert changed > len(pool) / 2
    labels = session.labels(inputs, np.arange(len(pool) + 1))
    assert (labels[:, 0] == classifier.scores(inputs).argmax(axis=1)).all()


def torch_reference(module: nn.Module, inputs: Images) -> Reference:
    return lambda mutant: answer(REFERENCES[mutant.operator](module, mutant.choice), inputs)


@every_operator
@pytest.mark.parametrize("name", SMALL)
def test_small_networks(name: str, operator: str, tmp_path: Path) -> None:
    case = SMALL[name]
    module = randomised(case.build(), seed=5)
    inputs = real_digits(case.shape)
    classifier = load_classifier(export(module, case.shape, tmp_path / "model.onnx", **case.options))
    check_scores(classifier, inputs[:12])
    pool = pool_of(classifier, [operator], case.rate, 6)
    assert_all_agree(classifier, pool, inputs, answer(module, inputs), torch_reference(module, inputs))


@pytest.mark.parametrize(("name", "images", "each"), [("resnet20", 64, 3), ("googlenet", 6, 1)])
def test_networks_for_cifar10(name: str, images: int, each: int, data_dir: Path, tmp_path: Path) -> None:
    """A pool holds all operators, as a store's may. ``make equivalence`` takes 1,000 images."""
    images = int(os.environ.get("EQUIVALENCE_IMAGES", images))
    data = load(f"imagefolder:{data_dir}/cifar10@test[0:{images}]", shape=CLASSIFIERS[name].shape)
    inputs = normalised(CLASSIFIERS[name], data.images)
    module = settled(CLASSIFIERS[name].build(10), inputs, seed=6)
    classifier = load_classifier(export(module, (3, 32, 32), tmp_path / "model.onnx"))
    pool = pool_of(classifier, DRAWN, 0.03, each)
    assert_all_agree(classifier, pool, inputs, answer(module, inputs), torch_reference(module, inputs))


@every_operator
def test_another_frameworks_perceptron(operator: str, tmp_path: Path) -> None:
    perceptron = train_perceptron()
    classifier = load_classifier(perceptron.export(tmp_path / "model.onnx", zipmap=True))
    pool = pool_of(classifier, [operator], 0.2, 10)
    original = perceptron.model.predict_proba(perceptron.images)
    assert_all_agree(
        classifier,
        pool,
        perceptron.images,
        original,
        lambda mutant: perceptron.mutated(mutant.operator, mutant.choice),
    )
