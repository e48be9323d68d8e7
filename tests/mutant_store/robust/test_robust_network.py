"""Robust networks as mutants of a store, and a store that goes without one."""

from dataclasses import replace
from pathlib import Path

import pytest

from mutant_guard.errors import ModelError
from mutant_store.robust.settings import RobustSettings
from tests.support.demo import SilentReport
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
