"""Robust networks as mutants of a store, and a store that goes without one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from mutant_guard.errors import ModelError
from mutant_store.build import build
from mutant_store.datasets import load
from mutant_store.robust.settings import RobustSettings
from tests.support.demo import SETTINGS, SilentReport, perceptron
from tests.support.retraining import build_retrained, settings

pytestmark = pytest.mark.slow

UNTRAINED = RobustSettings(epochs=1, steps=1, learning_rate=1e-9)


def test_a_store_goes_without_what_is_not_accurate_unless_it_was_asked_for(
    digits_weights: Path, tmp_path: Path
) -> None:
    asked = replace(settings(operator="mixed:robust,retrain"), robust=UNTRAINED)
    with pytest.raises(ModelError, match=r"a robust mutant gets .* right, .*: it would doubt too many clean"):
        build_retrained(digits_weights, tmp_path / "store", asked)

    report, optional = SilentReport(), replace(UNTRAINED, optional=True)
    store = build_retrained(digits_weights, tmp_path / "store", replace(asked, robust=optional), report)
    (warning,) = (step for step in report.steps if step.startswith("WARNING"))
    assert "the store goes without robust mutants: a robust mutant gets" in warning
    manifest = store.manifest
    assert (manifest.operator, manifest.robust, manifest.mutants) == ("retrain", [], 2)
    assert store.operators() == ["retrain", "retrain"]


def test_coloured_images_have_a_robust_mutant_only_where_it_is_asked_for(
    digits_model: Path, tmp_path: Path
) -> None:
    grey, data = onnx.load(digits_model), load("digits@holdout")
    values = {entry.name: numpy_helper.to_array(entry).astype(np.float32) for entry in grey.graph.initializer}
    first = (np.concatenate([values["w0"]] * 3) / 3).astype(np.float32)
    onnx.save(
        perceptron([(first, values["b0"]), (values["w1"], values["b1"])], (3, 8, 8)), tmp_path / "c.onnx"
    )
    np.savez(tmp_path / "c.npz", x=data.images.repeat(3, axis=3), y=data.labels)
    report = SilentReport()
    asked = replace(SETTINGS, operator="mixed:robust,nai", robust=replace(UNTRAINED, optional=True))
    store = build(tmp_path / "c.onnx", f"npz:{tmp_path / 'c.npz'}", tmp_path / "store", asked, report)
    assert any(step.startswith("no robust mutant, as one of coloured images sees") for step in report.steps)
    assert (store.manifest.operator, store.manifest.robust) == ("nai", [])
