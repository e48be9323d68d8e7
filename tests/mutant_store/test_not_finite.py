"""Numbers that are not finite in models, images and options of a build: refused in one line, or told."""

from collections.abc import Iterator
from math import inf, nan
from pathlib import Path
from typing import get_args, get_type_hints

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from typer.testing import CliRunner

from mutant_guard.errors import ModelError
from mutant_guard.store.reader import load_store
from mutant_store.calibrating.recordings import fitted_doubts, record
from mutant_store.cli.app import app
from mutant_store.datasets import load
from mutant_store.pool.accuracy_filter import AccuracyFilter
from tests.support.demo import SilentReport, build_digits_store, train_standardising_model
from tests.support.service import NotFiniteSession

runner = CliRunner()
VALUES = pytest.mark.parametrize("value", [nan, inf, -inf], ids=str)


@pytest.fixture(scope="module")
def standardising(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_standardising_model(tmp_path_factory.mktemp("model") / "own.onnx")


@pytest.fixture
def with_black(tmp_path: Path) -> Path:
    """Digits of the holdout, among them three black images."""
    data = load("digits@holdout")
    black = np.zeros((3, *data.images.shape[1:]), np.uint8)
    images, labels = np.concatenate([black, data.images]), np.concatenate([[0, 1, 2], data.labels])
    np.savez(tmp_path / "black.npz", x=images, y=labels)
    return tmp_path / "black.npz"


def last_line(*arguments: str) -> str:
    """Return the last line of a command that is refused in one line."""
    result = runner.invoke(app, arguments)
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    line = result.stderr.splitlines()[-1]
    assert line.startswith("error: ")
    return line


def test_a_build_on_images_without_finite_scores_is_refused(
    standardising: Path, with_black: Path, tmp_path: Path
) -> None:
    out = tmp_path / "store"
    line = last_line("build", str(standardising), "--data", f"npz:{with_black}", "--out", str(out))
    assert "not finite (NaN or infinite) on 3 of the" in line
    assert not out.exists()


def test_a_calibration_on_images_without_finite_scores_is_refused(
    standardising_store: Path, with_black: Path, tmp_path: Path
) -> None:
    before = load_store(standardising_store).version
    line = last_line("calibrate", str(standardising_store), "--data", f"npz:{with_black}")
    assert "the classifier gives scores that are not finite" in line
    assert load_store(standardising_store).version == before


@VALUES
def test_a_classifier_with_such_a_weight_is_refused(digits_model: Path, value: float, tmp_path: Path) -> None:
    model = onnx.load(digits_model)
    tensor = model.graph.initializer[0]
    weights = numpy_helper.to_array(tensor).copy()
    weights[20, 5] = value
    tensor.CopyFrom(numpy_helper.from_array(weights, tensor.name))
    onnx.save(model, tmp_path / "damaged.onnx")
    out = tmp_path / "store"
    line = last_line("build", str(tmp_path / "damaged.onnx"), "--data", "digits@holdout", "--out", str(out))
    assert "not finite" in line
    assert not out.exists()


def test_a_build_tells_that_images_of_one_shade_have_no_scores(
    standardising: Path, digits_model: Path, tmp_path: Path
) -> None:
    told = SilentReport()
    build_digits_store(standardising, tmp_path / "a", report=told, mutants=2)
    (warning,) = (step for step in told.steps if step.startswith("WARNING: "))
    assert "not finite (NaN or infinite) on an image that is all black or all white" in warning
    silent = SilentReport()
    build_digits_store(digits_model, tmp_path / "b", report=silent, mutants=2)
    assert not any("WARNING" in step for step in silent.steps)


@VALUES
def test_a_mutant_without_finite_scores_is_not_accurate(demo_store: Path, value: float) -> None:
    data, store = load("digits@holdout"), load_store(demo_store)
    inputs = store.manifest.input.tensor(data.images)

    def kept(mutant: int) -> list[int]:
        session = NotFiniteSession(demo_store, value, mutant=mutant)
        session.prefix_id = ""
        filtering = AccuracyFilter(inputs, data.labels, len(data), 0.8)
        found, _ = filtering.judge(session, store.manifest.mutants)
        return [int(number) for number in np.flatnonzero(found) + 1]

    usual = kept(0)
    assert len(usual) > 10
    assert kept(usual[3]) == [number for number in usual if number != usual[3]]


@VALUES
@pytest.mark.parametrize(("original", "mutant"), [(True, 0), (False, 3)])
def test_no_answers_without_finite_scores_are_recorded(
    retrained_store: Path, original: bool, mutant: int, value: float
) -> None:
    store, data = load_store(retrained_store), load("digits@holdout")
    assert store.calibration.doubts is not None
    inputs, labels, mutants = (
        store.manifest.input.tensor(data.images[:60]),
        data.labels[:60],
        store.manifest.mutants,
    )
    session = NotFiniteSession(retrained_store, value, original=original, mutant=mutant)
    who = "the classifier" if original else f"mutant {mutant}"
    for evidence in (None, store.calibration.doubts.doubts):
        with pytest.raises(ModelError, match=f"{who} gives scores that are not finite"):
            record(session, mutants, inputs, labels, lambda _: None, evidence)
    with pytest.raises(ModelError, match=f"{who} gives scores that are not finite"):
        fitted_doubts(session, mutants, inputs, labels, own_weight=0.25, output_kind="logits")


@pytest.mark.parametrize(
    "option",
    [("--std", "nan"), ("--std", "inf"), ("--mean", "nan"), ("--mean", "-inf"), ("--std", "0.3,nan,0.3")],
    ids=" ".join,
)
def test_a_normalisation_is_made_of_finite_numbers(
    digits_model: Path, option: tuple[str, str], tmp_path: Path
) -> None:
    arguments = [
        "build",
        str(digits_model),
        "--data",
        "digits@holdout",
        "--out",
        str(tmp_path / "s"),
        *option,
    ]
    result = runner.invoke(app, arguments, env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert "must be finite" in result.stderr
    assert option[0] in result.stderr


@pytest.mark.parametrize("option", [("--std", "1e-300"), ("--mean", "1e300")], ids=" ".join)
def test_a_normalisation_beyond_float32_is_refused(
    digits_model: Path, option: tuple[str, str], tmp_path: Path
) -> None:
    out = str(tmp_path / "s")
    line = last_line("build", str(digits_model), "--data", "digits@holdout", "--out", out, *option)
    assert "error: --mean, --std: Input should be " in line


def test_sizes_of_attacks_are_finite(digits_model: Path, tmp_path: Path) -> None:
    options = ["--operator", "retrain", "--train-data", "digits@train", "--epsilons", "0.1,nan"]
    out = str(tmp_path / "s")
    line = last_line("build", str(digits_model), "--data", "digits@holdout", "--out", out, *options)
    assert "--epsilons" in line


def float_options() -> Iterator[tuple[str, str, list[str]]]:
    """Every option of every command that is a number with a fraction, and the command's arguments."""
    groups = [app, *(group.typer_instance for group in app.registered_groups)]
    for command in (command for group in groups if group for command in group.registered_commands):
        assert command.callback is not None
        name = command.name or command.callback.__name__.replace("_", "-")
        needed = ["model", "--data", "d", "--out", "o"] if name == "build" else ["store"]
        for parameter, hint in get_type_hints(command.callback).items():
            if float in (hint, *get_args(hint)):
                yield name, f"--{parameter.replace('_', '-')}", needed


def test_there_are_such_options_in_every_group() -> None:
    found = {(command, option) for command, option, _ in float_options()}
    assert {("build", "--rate"), ("build", "--learning-rate"), ("calibrate", "--own-weight")} <= found
    assert len(found) > 15


@pytest.mark.parametrize("value", ["nan", "NaN", "inf", "-inf"])
@pytest.mark.parametrize(("command", "option", "needed"), list(float_options()), ids=str)
def test_every_number_that_is_an_option_is_finite(
    command: str, option: str, needed: list[str], value: str
) -> None:
    result = runner.invoke(app, [command, *needed, f"{option}={value}"], env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert f"Invalid value for '{option}': " in result.stderr
