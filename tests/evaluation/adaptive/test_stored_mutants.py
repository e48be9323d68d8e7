"""Whose mutants an attacker with the store gets, and what is refused."""

from dataclasses import replace
from pathlib import Path

import pytest

from evaluation.adaptive.stored_mutants import from_store
from mutant_store.errors import ModelError
from mutant_store.networks.weights import TrainedModel
from mutant_store.reader import Store, open_store
from tests.support.demo import build_digits_store


def test_another_models_store_is_refused(store: Store, model: TrainedModel, demo_store: Path) -> None:
    with pytest.raises(ModelError, match="mutates 42 neurons and digits-net has"):
        from_store(open_store(demo_store), model)
    retrained = replace(model, network=model.classifier.build(10))
    with pytest.raises(ModelError, match="was not built from these weights of digits-net"):
        from_store(store, retrained)


def test_other_operators_are_refused(tiny_model: Path, model: TrainedModel, tmp_path: Path) -> None:
    build_digits_store(tiny_model, tmp_path / "gf", operator="mixed:nai,gf", mutants=4, rate=0.01)
    with pytest.raises(ModelError, match="has mutants by gf, nai; adaptive attacks follow"):
        from_store(open_store(tmp_path / "gf"), model)
