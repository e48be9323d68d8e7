"""Which pools there are."""

from typing import Any

import pytest
from pydantic import ValidationError

from evaluation.experiment.material.pool_settings import PoolSettings


def _settings(**changes: Any) -> PoolSettings:
    values = {
        "operators": ["nai", "ns"],
        "rates": [0.01, 0.05],
        "main_rate": 0.05,
        "seeds": [0],
        "mutants": 10,
    }
    return PoolSettings.model_validate(values | changes)


def test_an_operator_may_have_a_main_rate_of_its_own() -> None:
    found = _settings(instead={"ns": 0.2})
    assert found.main_rate_of("nai") == 0.05
    assert found.main_rate_of("ns") == 0.2


def test_trained_mutants_have_a_size_and_a_rate_of_their_own() -> None:
    found = _settings(
        operators=["retrain", "nai"], sizes={"retrain": 4}, retraining={"share": 0.5, "epochs": 2}
    )
    assert (found.mutants_of("retrain"), found.mutants_of("nai")) == (4, 10)
    assert (found.main_rate_of("retrain"), found.main_rate_of("nai")) == (0.5, 0.05)
    assert (found.rates_of("retrain"), found.rates_of("nai")) == ([0.5], [0.01, 0.05])
    told = found.retrained("digits@train")
    assert (told["share"], told["epochs"], told["steps"], told["train_data"]) == (
        0.5,
        2,
        None,
        "digits@train",
    )


def test_pools_with_robust_mutants_are_larger_by_them() -> None:
    mixed = "mixed:robust,retrain"
    found = _settings(
        operators=[mixed, "retrain", "robust"],
        sizes={mixed: 4, "retrain": 6},
        retraining={"share": 0.5},
        robust={"mutants": 2, "method": "fast"},
    )
    assert [found.drawn_of(name) for name in found.operators] == [4, 6, 10]
    assert [found.mutants_of(name) for name in found.operators] == [6, 6, 2]
    assert [found.main_rate_of(name) for name in found.operators] == [0.5, 0.5, 0.05]
    assert [found.rates_of(name) for name in found.operators] == [[0.5], [0.5], [0.05]]


@pytest.mark.parametrize(
    "changes",
    [
        {"main_rate": 0.02},
        {"operators": []},
        {"rates": []},
        {"rates": [0.0, 0.05]},
        {"seeds": []},
        {"mutants": 1},
        {"filter_error": 1.5},
        {"instead": {"ns": 0}},
        {"calibration": {"max_false_alarm": 0}},
        {"jobs": 2},
        {"sizes": {"nai": 1}},
        {"operators": ["retrain"]},
        {"operators": ["retrain"], "retraining": {"epochs": 3}},
        {"retraining": {"share": 0.5, "luck": 1}},
        {"operators": ["mixed:robust,retrain"], "robust": {}},
        {"robust": {"luck": 1}},
        {"robust": {"train_data": "digits@train"}},
        {"retraining": {"share": 0.5, "train_data": "digits@train"}},
    ],
)
def test_what_makes_no_pools_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        _settings(**changes)
    (error,) = caught.value.errors()
    assert not error["loc"] or error["loc"][0] in changes
