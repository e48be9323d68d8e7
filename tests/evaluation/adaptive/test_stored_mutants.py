"""Mutants that an attacker with the store gets, and stores that are refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from evaluation.adaptive.mutants import scaled
from evaluation.adaptive.stored_mutants import from_store
from evaluation.adaptive.trained_mutants import TrainedMutants
from mutant_guard.errors import ModelError
from mutant_guard.store.reader import Store, load_store
from mutant_store.build import build
from mutant_store.datasets import load
from mutant_store.loading.model_source import ModelSource
from mutant_store.networks.weights import TrainedModel
from tests.support.demo import SilentReport, build_digits_store
from tests.support.retraining import settings

pytestmark = pytest.mark.slow


def test_another_models_store_is_refused(store: Store, model: TrainedModel, demo_store: Path) -> None:
    with pytest.raises(ModelError, match="mutates 42 neurons and digits-net has"):
        from_store(load_store(demo_store), model)
    retrained = replace(model, network=model.classifier.build(10))
    with pytest.raises(ModelError, match="was not built from these weights of digits-net"):
        from_store(store, retrained)


def test_other_operators_are_refused(tiny_model: Path, model: TrainedModel, tmp_path: Path) -> None:
    build_digits_store(tiny_model, tmp_path / "gf", operator="mixed:nai,gf", mutants=4, rate=0.01)
    with pytest.raises(ModelError, match="has mutants by gf, nai; adaptive attacks follow"):
        from_store(load_store(tmp_path / "gf"), model)


@pytest.fixture(scope="module")
def trained(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Build a store of three mutants that were trained again."""
    path = tmp_path_factory.mktemp("trained") / "tiny"
    source = ModelSource(str(tiny_model.with_suffix(".safetensors")))
    return build(source, "digits@holdout", path, settings(mutants=3), SilentReport())


def test_trained_mutants_score_as_in_the_bank(trained: Store, model: TrainedModel) -> None:
    mutants = from_store(trained, model)
    assert (mutants.count, mutants.classes) == (3, 10)
    data = load("digits@test").part(0, 40)
    session = trained.session(threads=1)
    features = session.features(trained.manifest.input.tensor(data.images))
    index = np.tile(np.arange(4), 40)
    expected = session.scores(features, np.repeat(np.arange(40), 4), index).reshape(40, 4, -1)
    with torch.no_grad():
        found = mutants.logits(scaled(data.images), torch.arange(4).expand(40, -1)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
    assert np.abs(found[:, 1:] - found[:, :1]).max(axis=(0, 2)).min() > 0.01


def test_rows_and_tables_of_trained_mutants_are_the_same(trained: Store, model: TrainedModel) -> None:
    mutants = from_store(trained, model)
    images = scaled(load("digits@test").part(0, 3).images)
    index = torch.tensor([[0, 3], [1, 1], [2, 0]])
    table = mutants.logits(images, index)
    rows = mutants.logits(images.repeat_interleave(2, 0), index.flatten())
    torch.testing.assert_close(table, rows.view(3, 2, -1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(table[0, 0], mutants.original(images)[0], rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match=r"for 3 images, got \[2\]"):
        mutants.logits(images, index[0])


def test_gradients_through_trained_mutants_are_those_of_small_changes(
    trained: Store, model: TrainedModel
) -> None:
    mutants = from_store(trained, model)
    images = scaled(load("digits@test").part(0, 2).images).requires_grad_()
    index = torch.tensor([[1, 2], [3, 0]])
    (found,) = torch.autograd.grad(mutants.logits(images, index)[:, :, 3].sum(), images)
    step = 1e-3 * found / found.norm()
    with torch.no_grad():
        up, down = (mutants.logits(images + sign * step, index)[:, :, 3].sum() for sign in (1, -1))
    assert float(up - down) == pytest.approx(2e-3 * float(found.norm()), rel=0.05)


def test_a_vector_of_another_network_is_refused(model: TrainedModel) -> None:
    with pytest.raises(ModelError, match="mutant 1: there are 7 parameters and the network has"):
        TrainedMutants(model, [np.zeros(7, dtype=np.float32)])
