"""Options of retraining: from the command line to settings."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from mutant_store.build import BuildSettings
from mutant_store.cli.app import app
from mutant_store.loading.model_source import ModelSource
from mutant_store.retraining.settings import RetrainSettings

DIGITS = "digits@train"


class StoppedError(Exception):
    pass


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[tuple[ModelSource, BuildSettings]]:
    """Return what the command asks to be built, in a list that grows with each call."""
    asked: list[tuple[ModelSource, BuildSettings]] = []

    def build(source: ModelSource, data: str, out: Path, settings: BuildSettings, *others: object) -> None:
        asked.append((source, settings))
        raise StoppedError

    monkeypatch.setattr("mutant_store.build.build", build)
    return asked


def run(*options: str) -> str:
    return (
        CliRunner().invoke(app, ["build", "lenet", "--data", "digits@holdout", "--out", "s", *options]).output
    )


def test_options_become_settings(given: list[tuple[ModelSource, BuildSettings]]) -> None:
    run("--operator", "retrain", "--train-data", "digits@train", "--share", "0.25", "--epochs", "4",
        "--adversarial-share", "0.1", "--adversarial-images", "50", "--epsilons", "0.1,0.2", "--attacks", "pgd, sparse",
        "--attack-steps", "9",
        "--batch-size", "64", "--learning-rate", "0.01", "--label-smoothing", "0.05", "--jitter", "0.02",
        "--shift", "1", "--labels", "original", "--weights", "w.pt")  # fmt: skip
    ((source, settings),) = given
    assert source == ModelSource("lenet", Path("w.pt"))
    assert settings.retraining == RetrainSettings(
        train_data="digits@train",
        share=0.25,
        epochs=4,
        adversarial_share=0.1,
        adversarial_images=50,
        epsilons=(0.1, 0.2),
        attacks=("pgd", "sparse"),
        steps=9,
        batch_size=64,
        learning_rate=0.01,
        label_smoothing=0.05,
        jitter=0.02,
        shift=1,
        labels="original",
    )


@pytest.mark.parametrize(
    ("options", "mutants"),
    [
        ([], 500),
        (["--operator", "retrain"], 8),
        (["--operator", "mixed:nai,retrain"], 8),
        (["--operator", "retrain", "--mutants", "12"], 12),
    ],
)
def test_retrained_pools_are_small_by_default(
    options: list[str], mutants: int, given: list[tuple[ModelSource, BuildSettings]]
) -> None:
    run(*options)
    assert given[0][1].selection.mutants == mutants
    assert given[0][1].retraining == RetrainSettings()


@pytest.mark.parametrize(
    ("options", "operator", "mutants", "optional"),
    [
        ([], "nai", 500, False),
        (["--operator", "gf", "--mutants", "20"], "gf", 20, False),
        (["--train-data", DIGITS], "mixed:robust,retrain", 8, True),
        (["--train-data", DIGITS, "--certified"], "mixed:robust,retrain", 8, False),
        (["--train-data", DIGITS, "--operator", "mixed:robust,retrain"], "mixed:robust,retrain", 8, False),
        (["--train-data", DIGITS, "--operator", "mixed:retrain,nai"], "mixed:retrain,nai", 8, False),
        (["--train-data", DIGITS, "--last", "0.5"], "retrain", 8, False),
        (["--train-data", DIGITS, "--from", "fc1"], "retrain", 8, False),
        (["--companion", "other.onnx"], "companion", 500, False),
        (["--companion", "other.onnx", "--train-data", DIGITS], "mixed:companion,retrain", 8, False),
        (["--companion", "other.onnx", "--train-data", DIGITS, "--teach"], "companion", 500, False),
    ],
)
def test_the_operator_is_chosen_by_what_there_is(
    options: list[str],
    operator: str,
    mutants: int,
    optional: bool,
    given: list[tuple[ModelSource, BuildSettings]],
) -> None:
    run(*options)
    settings = given[0][1]
    assert (settings.operator, settings.selection.mutants) == (operator, mutants)
    assert settings.robust is not None
    assert settings.robust.optional == optional


def test_sizes_that_are_no_numbers_are_refused(given: list[tuple[ModelSource, BuildSettings]]) -> None:
    assert "--epsilons 'a,b': give sizes in the pixel range 0 to 1" in run("--epsilons", "a,b")
    assert not given
