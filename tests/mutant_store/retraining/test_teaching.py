"""Companions that are taught what misleads the original."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mutant_guard.errors import ModelError
from mutant_guard.store.manifest import InputSpec
from mutant_store.bank.export import open_mutants
from mutant_store.companions.companion import Companion
from mutant_store.graph.classifier import load_classifier
from mutant_store.graph.graph import Graph
from mutant_store.loading.companions import CompanionSource
from mutant_store.loading.input_spec import InputOptions
from mutant_store.loading.model_source import ModelSource
from mutant_store.publishing.check import check_store
from mutant_store.retraining.settings import RetrainSettings, teaching_recipe
from mutant_store.retraining.teaching import _seen, _targets
from tests.support.demo import SilentReport
from tests.support.retraining import RETRAINING, build_retrained, settings

TEACHING = replace(RETRAINING, labels="original", learning_rate=0.02)
SPEC = InputSpec(height=8, width=8, channels=1, mean=[0.0], std=[1.0], layout="nchw", resize="exact")


def companion(model: Path, **changes: Any) -> Companion:
    """Return a perceptron as a companion."""
    own: dict[str, Any] = {"input": SPEC, "view": 1, "to_companion": None, "outputs": 10, "accuracy": 0.9}
    return Companion(
        name="c", classifier=load_classifier(model), multiply_adds=1.0, relative_cost=1.0, **own | changes
    )


def weights_of(graph: Graph) -> list[np.ndarray]:
    return [graph.array(name) for name, entry in graph.constants.items() if len(entry.dims) == 2]


@pytest.mark.slow
def test_a_taught_companion_has_its_graph_and_other_weights(
    digits_weights: Path, digits_model: Path, tmp_path: Path
) -> None:
    report = SilentReport()
    chosen = replace(
        settings(operator="companion", retraining=TEACHING),
        companions=(CompanionSource(ModelSource(str(digits_model)), InputOptions()),),
        teach=True,
    )
    store = build_retrained(digits_weights, tmp_path / "s", chosen, report)
    manifest = store.manifest
    (record,) = manifest.companions
    assert record.taught is not None
    assert (record.taught.share, record.taught.labels, record.taught.learning_rate) == (0, "original", 0.02)
    assert (record.taught.network, record.taught.adversarial_images) == ("onnx", 100)
    assert manifest.retraining is None
    assert manifest.accuracies[0] >= 0.8 * manifest.original_accuracy
    assert check_store(tmp_path / "s", 1).worst < 1e-4
    before, after = (
        Graph(model)
        for model in (load_classifier(digits_model).model, open_mutants(store).model(1, original_names=False))
    )
    assert [node.op_type for node in after.nodes if node.op_type in ("Gemm", "MatMul", "Conv")] == [
        node.op_type for node in before.nodes if node.op_type in ("Gemm", "MatMul", "Conv")
    ]
    pairs = list(zip(weights_of(before), weights_of(after), strict=True))
    assert pairs
    assert all(one.shape == other.shape and not np.array_equal(one, other) for one, other in pairs)
    with pytest.raises(ModelError, match=r"--teach trains companions: name them with --companion"):
        build_retrained(digits_weights, tmp_path / "t", replace(chosen, companions=()))


def test_what_it_has_no_class_for_is_to_be_doubted(digits_model: Path) -> None:
    pupil = companion(digits_model, to_companion=np.array([1, 1, -1]), outputs=2)
    assert _targets(pupil, np.array([0, 1])).tolist() == [1, 1]
    assert _targets(pupil, np.array([0, 2])).tolist() == [[0, 1], [0.5, 0.5]]
    answers = np.array([[0.5, 0.25, 0.25]], np.float32)
    assert _targets(pupil, answers).tolist() == [[0.125, 0.875]]
    assert _targets(companion(digits_model), answers) is answers


def test_adversarial_images_are_brought_to_its_size() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, 3, 8, 8), dtype=np.uint8)
    larger = SPEC.model_copy(update={"height": 16, "width": 16, "resize": "crop:20:nearest"})
    seen = _seen(larger.model_copy(update={"channels": 3}), images)
    assert np.array_equal(seen, images.repeat(2, axis=2).repeat(2, axis=3))  # all of the image, none cropped
    assert _seen(larger, images).shape == (2, 1, 16, 16)
    same = SPEC.model_copy(update={"channels": 3})
    assert np.array_equal(_seen(same, images), images)


def test_teaching_has_defaults_of_its_own() -> None:
    recipe = teaching_recipe(RetrainSettings(share=0.3, epochs=7, learning_rate=0.1))
    assert (recipe.share, recipe.epochs, recipe.learning_rate) == (0, 7, 0.1)
    assert teaching_recipe(RetrainSettings()).epochs == 3
