"""Robust mutants that start from a companion: they read its pixels, and doubt as robust mutants do."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from typer.testing import CliRunner

from mutant_guard import Guard
from mutant_guard.decision.evidence.kinds import UNIT
from mutant_guard.errors import ModelError
from mutant_guard.store.reader import Store, load_store
from mutant_store.bank.export import open_mutants
from mutant_store.calibrating.recalibrate import recalibrate
from mutant_store.cli.app import app
from mutant_store.datasets import load
from mutant_store.publishing.check import check_store
from mutant_store.retraining.settings import RetrainSettings
from mutant_store.robust.settings import RobustSettings
from tests.mutant_store.test_companion_store import answers, softmax
from tests.support.demo import SilentReport, build_companion_store
from tests.support.versions import copy_of

TEST = "digits@test[0:40]"
ROBUST, FROM = 3, 1
"""Numbers of the robust mutant and of its companion."""


@pytest.fixture(scope="module")
def store(robust_companion_store: Path) -> Store:
    return load_store(robust_companion_store)


def test_it_stands_beside_the_companion_and_is_heard_first(store: Store) -> None:
    manifest = store.manifest
    (record,), companion = manifest.robust, manifest.companions[FROM - 1]
    assert store.operators() == ["companion"] * 2 + ["robust"] + ["nai"] * 2
    assert [number for number, rank in enumerate(manifest.ranks, 1) if rank == 0] == [ROBUST]
    assert (record.mutant, record.companion, record.bounds) == (ROBUST, FROM, None)
    assert (record.multiply_adds, record.relative_cost) == (companion.multiply_adds, companion.relative_cost)
    tails = {tail.mutants[0]: tail.features for tail in manifest.bank if tail.own_graph}
    assert tails[ROBUST] == tails[FROM] == ["view_1"]
    assert len(manifest.views) == 2


def test_its_export_has_the_ends_of_the_companions_file_and_other_weights(
    robust_companion_store: Path, companion_store: Path, digits_model: Path, store: Store, tmp_path: Path
) -> None:
    assert check_store(robust_companion_store, 8).compared == 5
    written = tmp_path / "robust.onnx"
    ran = CliRunner().invoke(
        app, ["export", str(robust_companion_store), "--mutant", f"{ROBUST}", "-o", str(written)]
    )
    assert ran.exit_code == 0, ran.output
    model, companion = onnx.load(written), store.manifest.companions[FROM - 1]
    assert model.graph.input[0].name == companion.input_name == "pixels"
    assert model.graph.output[0].name == companion.output_name == "probabilities"
    data = load("digits@test[0:200]")
    robust = answers(written, data.images, companion.input)
    source = answers(companion_store.parent / companion.source, data.images, companion.input)
    assert (robust.argmax(axis=1) == data.labels).mean() > 0.8  # in the original's order of classes
    assert np.abs(softmax(robust, 1) - softmax(source[:, companion.class_map], 1)).max() > 0.02


def test_requests_meet_it_first_with_its_plain_doubt(
    robust_companion_store: Path, digits_model: Path, store: Store, tmp_path: Path
) -> None:
    """The companions' evidence would hold the distance of the answers as well."""
    file, doubts = tmp_path / "robust.onnx", store.calibration.doubts
    file.write_bytes(open_mutants(store).model(ROBUST).SerializeToString())
    assert doubts is not None
    pixels, manifest = load(TEST).images, store.manifest
    theirs = softmax(
        answers(file, pixels, manifest.companions[FROM - 1].input), doubts.temperatures[ROBUST - 1]
    )
    labels = answers(digits_model, pixels, manifest.input).argmax(axis=1)
    weight = doubts.weights[ROBUST - 1]
    expected = weight * (1 - theirs[np.arange(len(pixels)), labels])
    with Guard(robust_companion_store, order_key="k" * 16, device="cpu", threads=1) as guard:
        for image, evidence in zip(pixels, expected, strict=True):
            judged = guard.classify(image).judgement
            assert guard.classify(image).explain().operators[0] == judged.operators[0] == "robust"
            assert judged.evidence[0] / UNIT == pytest.approx(evidence, abs=2e-4)
    assert 0.01 < expected.mean() < 0.5


def test_every_command_works_on_the_store(robust_companion_store: Path, tmp_path: Path) -> None:
    copy = copy_of(robust_companion_store, tmp_path)
    for command in (["verify", copy], ["simulate", copy, "--no-grid"], ["versions", copy]):
        ran = CliRunner().invoke(app, [str(part) for part in command])
        assert ran.exit_code == 0, ran.output
    shown = " ".join(CliRunner().invoke(app, ["inspect", str(copy)], env={"COLUMNS": "250"}).output.split())
    assert "3 │ from companion wide.onnx │ pgd, ε 0.1, 2 epochs │" in shown
    assert shown.index("robust mutants, heard first") < shown.index("companions, cheapest first")
    asked = ["certify", str(copy), "--data", TEST, "--epsilon", "0.1"]
    ran = CliRunner().invoke(app, asked)
    assert ran.exit_code == 0, ran.output
    assert "nothing is proved: the store has no certified mutant" in " ".join(ran.output.split())
    for made in (
        recalibrate(copy, SilentReport(), max_false_alarm=0.1),
        recalibrate(copy, SilentReport(), spec="digits@test[0:280]"),
    ):
        assert made.calibration.doubts is not None
        assert made.calibration.doubts.companions == 2
        assert made.manifest.robust[0].companion == FROM
        test = made.calibration.policies["calibrated"].test
        assert test.kind == "staged"
        assert [mutants for mutants, _ in test.alarms] == [1]


@pytest.mark.parametrize(
    ("robust", "message"),
    [
        (
            RobustSettings(architecture="companion"),
            "several such companions; give companion:NAME, .* wide.onnx",
        ),
        (RobustSettings(architecture="companion:no"), "there is no such companion; give companion:NAME"),
        (RobustSettings(architecture="companion:own.onnx", method="certified"), "pixels of its own"),
        (RobustSettings(architecture="companion:own.onnx", joint=True), "--joint does not go with"),
        (RobustSettings(architecture="companion:own.onnx", width=2.0), "--width does not go with"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_read(
    robust: RobustSettings, message: str, companion_store: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=message):
        build_companion_store(
            tmp_path / "there-is-none.onnx",
            companion_store.parent / "wide.onnx",
            companion_store.parent / "own.onnx",
            tmp_path / "digits",
            operator="mixed:companion,robust",
            robust=robust,
            retraining=RetrainSettings(train_data="digits@train"),
        )


def test_there_have_to_be_companions(tmp_path: Path) -> None:
    arguments = ["build", "none.onnx", "--data", "digits@holdout", "--out", str(tmp_path / "digits")]
    asked = ["--operator", "robust", "--train-data", "digits@train", "--architecture", "companion"]
    ran = CliRunner().invoke(app, [*arguments, *asked])
    assert ran.exit_code
    assert "name them with --companion and give mixed:companion,robust" in " ".join(ran.output.split())
