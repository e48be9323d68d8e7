"""Options of calibration: their effect, and their help in every command that offers them."""

import re

import pytest
import typer
from pydantic import ValidationError

from mutant_guard.store.calibration_record import CalibrationSettings
from mutant_store.cli import calibration_options
from mutant_store.cli.app import app


def options(command: str) -> dict[str, typer.core.TyperOption]:
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    found = [parameter for parameter in group.commands[command].params if parameter.name]
    return {str(option.name): option for option in found if isinstance(option, typer.core.TyperOption)}


def test_nothing_given_keeps_what_is_there() -> None:
    assert CalibrationSettings().changed() == CalibrationSettings()
    base = CalibrationSettings(max_false_alarm=0.2, rho=3)
    assert base.changed() == base
    assert base.changed(max_false_alarm=None, rho=None, fixed_mutants=None) == base


def test_what_is_given_takes_its_place_alone() -> None:
    base = CalibrationSettings(max_false_alarm=0.2, rho=3)
    changed = base.changed(max_false_alarm=0.02, clean_mutants=7, rho=None)
    assert changed == CalibrationSettings(max_false_alarm=0.02, rho=3, clean_mutants=7)
    assert base.max_false_alarm == 0.2


@pytest.mark.parametrize(
    "wrong",
    [{"max_false_alarm": 0}, {"confidence": 1}, {"fixed_mutants": 0}, {"clean_mutants": 0.5}, {"ro": 1}],
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        CalibrationSettings().changed(**wrong)


@pytest.mark.parametrize("command", ["build", "calibrate"])
def test_every_setting_is_an_option_that_names_its_default(command: str) -> None:
    offered = options(command)
    defaults = CalibrationSettings().model_dump() | {
        "clean_mutants": CalibrationSettings(evidence="label_change").budget,
        "own_weight": CalibrationSettings().weight_of_original,
    }
    for name, value in defaults.items():
        shown = re.search(r"Default: ([\w.]*\w)", offered[name].help or "")
        assert shown, name
        assert (shown[1] if isinstance(value, str) else float(shown[1])) == value, name
        assert offered[name].default is None


def test_clean_mutants_names_the_budget_of_soft_evidence_too() -> None:
    budget = CalibrationSettings(evidence="soft").budget
    assert f"and {budget:g} where evidence is soft" in (options("build")["clean_mutants"].help or "")
    assert CalibrationSettings(evidence="soft", clean_mutants=3).budget == 3


def test_evidence_is_soft_where_mutants_are_retrained_unless_something_else_is_asked_for() -> None:
    auto = CalibrationSettings()
    assert auto.decided(["nai"]).evidence == auto.decided(["gf", "ws"]).evidence == "label_change"
    assert auto.decided(["retrain"]).evidence == auto.decided(["nai", "retrain"]).evidence == "soft"
    for asked in ("soft", "label_change"):
        settings = CalibrationSettings().changed(evidence=asked, own_weight=0.5)
        assert settings.decided(["nai"]) == settings.decided(["companion"]) == settings


def test_the_originals_evidence_counts_as_one_mutant_beside_companions() -> None:
    auto = CalibrationSettings()
    assert auto.decided(["retrain"]).own_weight == auto.weight_of_original == 0.25
    assert auto.decided(["companion", "nai"]).own_weight == 1
    assert auto.decided(["companion"]).evidence == "soft"
    assert auto.changed(own_weight=2).decided(["companion"]).own_weight == 2


def test_the_originals_evidence_counts_nothing_behind_robust_mutants_that_started_from_it() -> None:
    auto, pool = CalibrationSettings(), ["robust", "retrain"]
    assert auto.decided(pool, from_original=True).own_weight == 0
    assert auto.decided(pool).own_weight == 0.25
    assert auto.decided([*pool, "companion"], from_original=True).own_weight == 1
    assert auto.changed(own_weight=0.5).decided(pool, from_original=True).own_weight == 0.5


def test_the_least_and_the_most_an_option_takes_are_settings() -> None:
    for name in CalibrationSettings.model_fields:
        option = getattr(calibration_options, name.title().replace("_", "")).__metadata__[0]
        for limit in (option.min, option.max):
            if limit is not None:
                CalibrationSettings().changed(**{name: limit})
