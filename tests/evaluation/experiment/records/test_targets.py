"""Figures that were asked for."""

from typing import Any

import pytest
from pydantic import ValidationError

from evaluation.experiment.records.record import Interval
from evaluation.experiment.records.results import AdaptiveCell, MethodCell
from evaluation.experiment.records.targets import Target, target_cells
from evaluation.experiment.records.trained_results import EarlyCell


def _interval(value: float) -> Interval:
    return Interval(value=value, low=value, high=value)


_CELL = MethodCell(
    method="doubt retrain",
    kind="pgd",
    auroc=_interval(0.99),
    detected_1=_interval(0.8),
    detected_5=_interval(0.9),
    matthews=0.5,
)
_EARLY = EarlyCell(
    operator="retrain",
    policy="calibrated",
    kind="normal",
    adversarial=_interval(0.05),
    all_mutants=_interval(0.06),
    lost=_interval(0.01),
    mutants=_interval(1.4),
)
_ATTACK = AdaptiveCell(
    attack="joint",
    knowledge="method",
    epsilon=0.1,
    detector="doubt retrain",
    images=200,
    success=_interval(1.0),
    detected=_interval(0.9),
    evading=_interval(0.1),
    robust_accuracy=_interval(0.9),
)


@pytest.mark.parametrize(
    ("told", "value", "met"),
    [
        ({"figure": "detected at 5 %", "kind": "pgd", "reach": 0.9}, 0.9, True),
        ({"figure": "detected at 1 %", "kind": "pgd", "reach": 0.9}, 0.8, False),
        ({"figure": "AUROC", "kind": "pgd"}, 0.99, None),
        ({"figure": "AUROC", "kind": "cw", "reach": 0.5}, None, None),
        ({"figure": "mutants", "kind": "normal", "method": "calibrated retrain", "reach": 1.5}, 1.4, True),
        (
            {"figure": "cleared too early", "kind": "normal", "method": "calibrated retrain", "reach": 0},
            0.01,
            False,
        ),
        (
            {"figure": "evading", "kind": "joint", "knowledge": "method", "epsilon": 0.1, "reach": 0.05},
            0.1,
            False,
        ),
        (
            {"figure": "evading", "kind": "joint", "knowledge": "store", "epsilon": 0.1, "reach": 0.05},
            None,
            None,
        ),
    ],
)
def test_a_figure_is_found_and_judged(told: dict[str, Any], value: float | None, met: bool | None) -> None:
    target = Target.model_validate({"method": "doubt retrain", **told})
    (cell,) = target_cells([target], {"pgd": 500, "normal": 1000}, [_CELL], [_EARLY], [_ATTACK])
    assert (None if cell.value is None else cell.value.value) == value
    assert cell.met == met
    assert cell.images == {"pgd": 500, "normal": 1000, "cw": 0, "joint": 200 if value else 0}[target.kind]


@pytest.mark.parametrize(
    "wrong",
    [
        {"figure": "evading", "kind": "joint"},
        {"figure": "AUROC", "kind": "joint", "knowledge": "store", "epsilon": 0.1},
        {"figure": "luck", "kind": "pgd"},
    ],
)
def test_what_cannot_be_asked_for_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Target.model_validate({"method": "doubt retrain", **wrong})
