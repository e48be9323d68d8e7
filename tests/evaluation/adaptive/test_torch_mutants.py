"""Tests that mutants in torch are the store's, number by number."""

from pathlib import Path

import numpy as np
import pytest
import torch

from evaluation.adaptive.mutants import Mutants
from evaluation.adaptive.torch_mutants import TorchMutants, drawn
from mutant_guard.bank.pool import of
from mutant_guard.errors import ModelError
from mutant_guard.store.reader import Store
from mutant_store.bank.builder import build_bank
from mutant_store.datasets import ImageData, load
from mutant_store.graph.classifier import load_classifier
from mutant_store.graph.graph import Graph
from mutant_store.graph.neurons import find_layers
from mutant_store.graph.parameters import Parameters
from mutant_store.networks import weights
from mutant_store.networks.inference import normalised
from mutant_store.networks.weights import TrainedModel
from mutant_store.operators import OPERATORS

MODELS = Path(__file__).parents[3] / "models"


def tensor(data: ImageData) -> torch.Tensor:
    return torch.from_numpy(data.images.transpose(0, 3, 1, 2).copy()).float() / 255


@torch.no_grad()
def answers(mutants: Mutants, data: ImageData) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    index = torch.arange(mutants.count + 1).expand(len(data), -1)
    found: np.ndarray[tuple[int, ...], np.dtype[np.float32]] = mutants.logits(tensor(data), index).numpy()
    return found


def test_labels_are_the_stores(mutants: Mutants, store: Store) -> None:
    data = load("digits@test").part(0, 200)
    found = answers(mutants, data)
    expected = store.session(threads=1).labels(store.manifest.input.tensor(data.images), np.arange(41))
    best = np.sort(found, axis=2)
    clear = best[..., -1] - best[..., -2] > 1e-4
    assert mutants.count == 40
    assert clear.mean() > 0.99
    assert (found.argmax(axis=2) == expected)[clear].all()
    assert (expected[:, 1:] != expected[:, :1]).mean() > 0.01


@pytest.mark.parametrize(
    ("name", "spec", "rate"),
    [
        ("mnist-lenet", "mnist:{}/mnist@test[0:100]", 0.05),
        ("cifar10-resnet20", "imagefolder:{}/cifar10@test[0:16]", 0.01),
    ],
)
def test_the_committed_models_mutants_score_as_in_the_bank(
    name: str, spec: str, rate: float, data_dir: Path
) -> None:
    data = load(spec.format(data_dir))
    classifier = load_classifier(MODELS / f"{name}.onnx")
    parameters = Parameters(Graph(classifier.model), find_layers(Graph(classifier.model)))
    choices = [OPERATORS["nai"].draw(parameters, rate, np.random.default_rng(i)) for i in range(6)]
    model = weights.load(MODELS / f"{name}.safetensors")
    inputs = normalised(model.classifier, data.images)
    session = build_bank(classifier, parameters.layers, of("nai", choices), inputs[:4]).session()
    index = np.tile(np.arange(7), len(data))
    expected = session.scores(session.features(inputs), np.repeat(np.arange(len(data)), 7), index)
    found = answers(TorchMutants(model, [choice["neurons"] for choice in choices]), data)
    np.testing.assert_allclose(found.reshape(expected.shape), expected, rtol=1e-3, atol=2e-3)
    assert np.abs(found[:, 1:] - found[:, :1]).max(axis=(0, 2)).min() > 0.01


def test_a_mutant_negates_its_neurons(model: TrainedModel) -> None:
    data = load("digits@test").part(0, 5)
    total = TorchMutants(model, []).neurons
    last = total - 10 + np.array([2, 7])
    found = answers(TorchMutants(model, [last]), data)
    expected = found[:, 0].copy()
    expected[:, [2, 7]] *= -1
    np.testing.assert_allclose(found[:, 1], expected, rtol=1e-5)
    with pytest.raises(ModelError, match=f"has {total} neurons; mutant 1"):
        TorchMutants(model, [np.array([total])])


def test_rows_and_tables_of_mutants_are_the_same(mutants: Mutants) -> None:
    images = tensor(load("digits@test").part(0, 3))
    index = torch.tensor([[0, 5, 3], [1, 1, 0], [7, 40, 2]])
    table = mutants.logits(images, index)
    rows = mutants.logits(images.repeat_interleave(3, 0), index.flatten())
    torch.testing.assert_close(table, rows.view(3, 3, -1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(table[0, 0], mutants.original(images)[0], rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match=r"for 3 images, got \[2\]"):
        mutants.logits(images, index[0, :2])


def test_gradients_are_those_of_small_changes(mutants: Mutants) -> None:
    images = tensor(load("digits@test").part(0, 2)).requires_grad_()
    index = torch.tensor([[4, 9], [11, 0]])
    (found,) = torch.autograd.grad(mutants.logits(images, index)[:, :, 3].sum(), images)
    step = 1e-3 * found / found.norm()
    with torch.no_grad():
        up, down = (mutants.logits(images + sign * step, index)[:, :, 3].sum() for sign in (1, -1))
    assert float(up - down) == pytest.approx(2e-3 * float(found.norm()), rel=0.05)


def test_samples_are_distinct_mutants_of_each_image(mutants: Mutants) -> None:
    sampled = mutants.sample(30, 8, torch.Generator().manual_seed(1))
    assert sampled.shape == (30, 8)
    assert {len(set(row)) for row in sampled.tolist()} == {8}
    assert set(sampled.flatten().tolist()) == set(range(1, 41))
    assert mutants.sample(2, 100, torch.Generator()).shape == (2, 40)


def test_drawn_mutants_are_accurate_and_the_seeds_own(model: TrainedModel) -> None:
    data = load("digits@train").part(0, 150)
    one, same, other = (drawn(model, data, 0.05, 20, seed) for seed in (1, 1, 2))
    correct = (answers(one, data).argmax(axis=2) == data.labels[:, None]).sum(axis=0)
    assert one.count == 20
    assert (correct[1:] >= 0.9 * correct[0]).all()
    assert len(np.unique(correct)) > 3
    assert (answers(one, data) == answers(same, data)).all()
    assert (answers(one, data)[:, 1:] != answers(other, data)[:, 1:]).any()


def test_a_hopeless_rate_is_refused(model: TrainedModel) -> None:
    data = load("digits@train").part(0, 30)
    with pytest.raises(ModelError, match="of 1024 mutants keep 100% of the original's accuracy"):
        drawn(model, data, 0.7, 20, 0, accuracy_ratio=1.0)
