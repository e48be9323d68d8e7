"""Comparison of a classifier's graph with the file that was given."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import parser

from mutant_guard.bank.pool import Mutant
from mutant_guard.errors import ModelError
from mutant_store.bank.builder import Bank, BankBuilder
from mutant_store.build import build
from mutant_store.graph import folding
from mutant_store.graph.graph import Graph
from mutant_store.graph.original import check_same, file_scores
from tests.support.demo import SETTINGS, SilentReport, perceptron, train_digits_model
from tests.support.foreign import train_perceptron

SCORES = np.random.default_rng(0).standard_normal((50, 10)).astype(np.float32)
SURE = np.exp(9 * SCORES) / np.exp(9 * SCORES).sum(axis=1, keepdims=True)


def test_rounding_passes_and_another_answer_does_not() -> None:
    assert check_same(SCORES, SCORES + 1e-5, "logits", "it") < 1e-4
    assert check_same(SURE, SURE * (1 + 1e-6), "probabilities", "it") < 1e-4
    moved = SCORES.copy()
    moved[7, 3] += 0.01
    with pytest.raises(ModelError, match="it does not answer as the classifier as given: on 1 of 50 images"):
        check_same(SCORES, moved, "logits", "it")
    with pytest.raises(ModelError, match=r"shape \[50, 9\] where the classifier as given answers with"):
        check_same(SCORES, SCORES[:, :9], "logits", "it")


def test_labels_of_many_alike_probabilities_may_differ_only_at_ties() -> None:
    expected = np.full((4, 1000), 0.001, np.float32)
    expected[:, 5] = 0.0012
    found = expected.copy()
    found[2, 5], found[2, 6] = 0.001, 0.0012
    with pytest.raises(
        ModelError, match=r"on 1 of 4 images scores differ, by up to 0\.0002, and on 1 the label"
    ):
        check_same(expected, found, "probabilities", "it")
    expected[:, 6] = 0.0012 - 1e-7
    found = expected.copy()
    found[2, [5, 6]] = expected[2, [6, 5]]
    check_same(expected, found, "probabilities", "it")


def test_what_is_not_finite_is_a_difference() -> None:
    for value in (np.nan, np.inf):
        broken = SCORES.copy()
        broken[0, 0] = value
        with pytest.raises(ModelError, match="on 1 of 50 images"):
            check_same(SCORES, broken, "logits", "it")
        with pytest.raises(ModelError, match="on 1 of 50 images"):
            check_same(broken, SCORES, "logits", "it")


@pytest.mark.parametrize("size", [1, 4])
def test_a_file_for_a_fixed_number_of_images_runs_on_any(size: int, tmp_path: Path) -> None:
    weights = [(np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32), np.ones(3, np.float32))]
    model = perceptron(weights, (1, 2, 2))
    onnx.save(model, tmp_path / "any.onnx")
    for entry in (*model.graph.input, *model.graph.output):
        entry.type.tensor_type.shape.dim[0].dim_value = size
    onnx.save(model, tmp_path / "fixed.onnx")
    inputs = np.random.default_rng(1).random((6, 1, 2, 2), np.float32)
    found, expected = (file_scores(tmp_path / f"{name}.onnx", "scores")(inputs) for name in ("fixed", "any"))
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found.shape == (6, 3)


def test_a_number_of_images_that_is_built_in_unsaid_is_found_out(tmp_path: Path) -> None:
    text = (
        '<ir_version: 8, opset_import: ["": 17]> g (float[n,1,2,2] x) => (float[n,4] y) '
        "<int64[2] s = {1, 4}> { y = Reshape (x, s) }"
    )
    onnx.save(parser.parse_model(text), tmp_path / "m.onnx")
    inputs = np.random.default_rng(1).random((6, 1, 2, 2), np.float32)
    np.testing.assert_array_equal(file_scores(tmp_path / "m.onnx", "y")(inputs), inputs.reshape(6, 4))


def test_of_a_dictionary_of_scores_the_scores_are_taken(tmp_path: Path) -> None:
    trained = train_perceptron()
    path = trained.export(tmp_path / "m.onnx", zipmap=True)
    found = file_scores(path, onnx.load(path).graph.output[1].name)(trained.images)
    np.testing.assert_allclose(found, trained.model.predict_proba(trained.images), atol=1e-5)


def test_a_file_that_does_not_run_is_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    onnx.save(
        perceptron([(np.ones((4, 3), np.float32), np.zeros(3, np.float32))], (1, 2, 2)), tmp_path / "m.onnx"
    )
    with pytest.raises(
        ModelError, match=r"m\.onnx itself does not run on these images \(.*\); export it again"
    ):
        file_scores(tmp_path / "m.onnx", "scores")(np.ones((3, 1, 5, 5), np.float32))
    assert "".join(capfd.readouterr()) == ""  # onnxruntime prints nothing besides


def test_a_build_refuses_a_graph_that_answers_otherwise_before_it_draws_mutants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, report = train_digits_model(tmp_path / "m.onnx"), SilentReport()
    simplify = folding.simplify

    def wrong(graph: Graph) -> None:
        simplify(graph)
        graph.set_constant("b1", graph.array("b1") + np.eye(10, dtype=np.float32)[3] * 0.5)

    monkeypatch.setattr("mutant_store.graph.classifier.simplify", wrong)
    with pytest.raises(
        ModelError, match="the model, simplified for mutants, does not answer as the classifier"
    ):
        build(model, "digits@holdout", tmp_path / "s", SETTINGS, report)
    assert not any(step.startswith("drawing") for step in report.steps)


def test_a_build_refuses_a_bank_whose_mutant_0_answers_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mutant_store.build.largest_difference", lambda *_: 0.0)
    whole = BankBuilder.build

    def wrong(builder: BankBuilder, pool: list[Mutant]) -> Bank:
        bank = whole(builder, pool)
        for tensor in bank.prefix.graph.initializer:
            if tensor.name == "b1":
                tensor.CopyFrom(onnx.numpy_helper.from_array(np.arange(10, dtype=np.float32), "b1"))
        return bank

    monkeypatch.setattr(BankBuilder, "build", wrong)
    with pytest.raises(ModelError, match="mutant 0 of the bank does not answer as the classifier as given"):
        build(
            train_digits_model(tmp_path / "m.onnx"),
            "digits@holdout",
            tmp_path / "s",
            SETTINGS,
            SilentReport(),
        )
    assert not (tmp_path / "s" / "CURRENT").exists()
