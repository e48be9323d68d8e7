"""Options of robust mutants: from the command line to settings."""

from typing import Any

import pytest

from mutant_guard.errors import ModelError
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
    "architecture": None,
    "width": None,
    "labels": "data",
}


def test_nothing_said_is_the_default() -> None:
    assert robust_settings(**NOTHING) == RobustSettings()


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
        "architecture": "a:b",
        "width": 2.0,
        "labels": "original",
    }
    assert robust_settings(**NOTHING | said) == RobustSettings(**said)


@pytest.mark.parametrize("method", [None, "certified"])
def test_certified_is_a_method(method: str | None) -> None:
    assert robust_settings(**NOTHING | {"certified": True, "method": method}).method == "certified"


def test_certified_goes_with_no_other_method() -> None:
    with pytest.raises(ModelError, match="--certified is --robust-method certified, not pgd"):
        robust_settings(**NOTHING | {"certified": True, "method": "pgd"})
