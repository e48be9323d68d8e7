"""Options of robust mutants: from the command line to settings."""

from typing import Any

import pytest

from mutant_guard.errors import DataError, ModelError
from mutant_store.cli.robust_options import robust_settings
from mutant_store.robust.settings import RobustSettings

NOTHING: dict[str, Any] = {
    "mutants": None,
    "method": None,
    "certified": False,
    "epsilon": None,
    "steps": None,
    "epochs": None,
    "batch_size": None,
    "learning_rate": None,
    "clean_weight": None,
    "joint": False,
    "distill": None,
    "architecture": None,
    "width": None,
    "shift": None,
    "labels": "data",
    "mirror": None,
    "ensemble": None,
}


def test_nothing_said_is_the_default() -> None:
    assert robust_settings("robust", "digits@train", **NOTHING) == RobustSettings()


def test_options_become_settings() -> None:
    said: dict[str, Any] = {
        "mutants": 2,
        "method": "trades",
        "epsilon": 0.1,
        "steps": 3,
        "epochs": 4,
        "batch_size": 64,
        "learning_rate": 0.01,
        "clean_weight": 0.25,
        "joint": True,
        "distill": 2.0,
        "architecture": "a:b",
        "width": 2.0,
        "shift": 3,
        "labels": "original",
        "mirror": False,
        "ensemble": 3,
    }
    assert robust_settings("mixed:robust,nai", "digits@train", **NOTHING | said) == RobustSettings(**said)


@pytest.mark.parametrize("method", [None, "certified"])
def test_certified_is_a_method(method: str | None) -> None:
    assert (
        robust_settings("robust", "digits@train", **NOTHING | {"certified": True, "method": method}).method
        == "certified"
    )


def test_certified_goes_with_no_other_method() -> None:
    with pytest.raises(ModelError, match="--certified is --robust-method certified, not pgd"):
        robust_settings("robust", "digits@train", **NOTHING | {"certified": True, "method": "pgd"})


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"mirror": True}, "--mirror takes the mean of several looks, and --certified proves bounds of one"),
        (
            {"ensemble": 2},
            "--robust-ensemble takes the mean of several networks, and --certified proves bounds",
        ),
    ],
)
def test_bounds_are_of_one_look_of_one_network(said: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        robust_settings("robust", "digits@train", **NOTHING | {"certified": True} | said)
    settings = robust_settings("robust", "digits@train", **NOTHING | {"certified": True})
    assert not settings.mirrors(flip=True)


@pytest.mark.parametrize(
    ("asked", "flip", "mirrors"),
    [(None, True, True), (None, False, False), (False, True, False), (True, False, True)],
)
def test_mutants_look_twice_where_training_mirrors_images(
    asked: bool | None, flip: bool, mirrors: bool
) -> None:
    assert RobustSettings(mirror=asked).mirrors(flip=flip) is mirrors


@pytest.mark.parametrize(
    ("said", "options"),
    [
        ({"certified": True}, "--certified"),
        ({"mutants": 1, "joint": True}, "--robust-mutants, --joint"),
        ({"clean_weight": 0.0}, "--robust-clean-weight"),
        ({"distill": 0.0}, "--robust-distill"),
        ({"mirror": True}, "--mirror"),
        ({"mirror": False}, "--no-mirror"),
        ({"ensemble": 1}, "--robust-ensemble"),
    ],
)
def test_options_without_robust_mutants_are_refused(said: dict[str, Any], options: str) -> None:
    with pytest.raises(
        ModelError, match=f"{options}: for robust mutants, and operator mixed:nai,retrain makes none"
    ):
        robust_settings("mixed:nai,retrain", "digits@train", **NOTHING | said)


def test_what_retrained_mutants_take_too_is_no_option_of_robust_ones() -> None:
    assert robust_settings("retrain", None, **NOTHING | {"shift": 2, "labels": "original"}).shift == 2


def test_robust_mutants_have_to_be_trained_on_something() -> None:
    with pytest.raises(DataError, match="robust mutants need images to train on: give --train-data"):
        robust_settings("mixed:robust,nai", None, **NOTHING)
