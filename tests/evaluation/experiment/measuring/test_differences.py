"""Cells that differ from the paper's, on which side, and why."""

import pytest

from evaluation.experiment.material.config import Explanation
from evaluation.experiment.measuring.differences import average_detection, differences
from evaluation.experiment.measuring.mutation import Tables
from evaluation.experiment.records.record import Interval
from evaluation.experiment.records.results import (
    AurocCell,
    DetectionCell,
    Difference,
    PaperDetection,
    PaperValue,
    RateCell,
)

_COLUMNS: dict[str, str | None] = {"normal": "normal", "wrong": "wrong", "fgsm": "fgsm", "pgd": None}
_PAPER = PaperDetection(operator="nai", columns=["wrong", "fgsm", "cw"], accuracy=0.9, mutants=70, normal=0.9)


def _around(value: float, half: float = 0.02) -> Interval:
    return Interval(value=value, low=value - half, high=value + half)


def _rate(value: float, paper: float | None, kind: str = "fgsm", operator: str = "nai") -> RateCell:
    given = None if paper is None else PaperValue(value=paper, half_width=0.03)
    return RateCell(
        operator=operator, rate=0.05, kind=kind, images=10, mean=_around(value), per_pool=[value], paper=given
    )


def _area(value: float, paper: float | None) -> AurocCell:
    return AurocCell(operator="ws", rate=0.05, kind="cw", auroc=_around(value), per_pool=[value], paper=paper)


def _detection(kind: str, right: float, rho: float = 1.0, operator: str = "nai") -> DetectionCell:
    other = _around(0.5)
    return DetectionCell(
        operator=operator,
        rho=rho,
        kind=kind,
        adversarial=_around(1 - right if kind == "normal" else right),
        undecided=other,
        normal=other,
        forced=other,
        mean_mutants=10.0,
    )


def _found(
    tables: Tables, *explanations: Explanation, paper: PaperDetection | None = None
) -> list[Difference]:
    averages = [] if paper is None else [paper]
    return differences(tables, averages, _COLUMNS, {"nai": 0.05, "ws": 0.07}, explanations)


@pytest.mark.parametrize(
    ("value", "differs"), [(0.5, False), (0.549, False), (0.551, True), (0.451, False), (0.449, True)]
)
def test_rates_differ_where_the_intervals_are_apart(value: float, differs: bool) -> None:
    found = _found(Tables(rates=[_rate(value, 0.5)]))
    assert bool(found) == differs
    for one in found:
        assert (one.table, one.operator, one.rate, one.kind) == ("label change rate", "nai", 0.05, "fgsm")
        assert one.interval == _around(value)
        assert one.paper == PaperValue(value=0.5, half_width=0.03)
        assert one.explanation is None


@pytest.mark.parametrize(("value", "differs"), [(0.9, False), (0.919, False), (0.921, True), (0.879, True)])
def test_areas_differ_where_the_papers_is_outside_of_ours(value: float, differs: bool) -> None:
    found = _found(Tables(aurocs=[_area(value, 0.9)]))
    assert [(one.table, one.operator, one.kind, one.rate) for one in found] == (
        [("AUROC", "ws", "cw", 0.05)] if differs else []
    )


def test_what_the_paper_does_not_have_differs_from_nothing() -> None:
    assert _found(Tables(rates=[_rate(0.9, None)], aurocs=[_area(0.1, None)])) == []


def test_the_first_explanation_that_covers_the_cell_and_its_side_counts() -> None:
    above, below = _rate(0.9, 0.5), _rate(0.1, 0.5)
    explanations = (
        Explanation(table="AUROC", text="areas"),
        Explanation(direction="below", kind="fgsm", text="below"),
        Explanation(direction="above", operator="n?i", text="above"),
        Explanation(text="never reached"),
    )
    found = _found(Tables(rates=[above, below], aurocs=[_area(0.1, 0.9)]), *explanations)
    assert [one.explanation for one in found] == ["above", "below", "areas"]
    assert [one.explanation for one in _found(Tables(rates=[above]), explanations[1])] == [None]


def test_detection_is_averaged_as_the_paper_does() -> None:
    detection = [
        _detection("normal", 0.5),
        _detection("wrong", 0.2),
        _detection("fgsm", 0.6),
        _detection("pgd", 1.0),  # the paper has no such attack
        _detection("fgsm", 1.0, rho=2.0),
        _detection("fgsm", 1.0, operator="ws"),
    ]
    attacks, normal = average_detection(Tables(detection=detection), _PAPER, _COLUMNS)
    assert attacks is not None
    assert attacks.value == pytest.approx(0.4)
    half = (2 * 0.02**2) ** 0.5 / 2  # of the mean of two independent figures
    assert (attacks.low, attacks.high) == pytest.approx((0.4 - half, 0.4 + half))
    assert normal == Interval(value=0.5, low=0.48, high=0.52)
    found = _found(
        Tables(detection=detection), Explanation(table="detection", kind="attacks", text="why"), paper=_PAPER
    )
    assert [(one.table, one.operator, one.rate, one.kind, one.explanation) for one in found] == [
        ("detection", "nai", 0.05, "attacks", "why"),
        ("detection", "nai", 0.05, "normal", None),
    ]
    assert [one.paper.value for one in found] == [0.9, 0.9]


def test_detection_is_of_the_rate_it_was_measured_at() -> None:
    detection = [_detection(kind, 0.5, operator="ws") for kind in ("normal", "wrong")]
    found = _found(
        Tables(detection=detection, aurocs=[_area(0.9, 0.9)]),
        paper=_PAPER.model_copy(update={"operator": "ws"}),
    )
    assert [one.rate for one in found] == [0.07, 0.07]


def test_detection_that_agrees_does_not_differ() -> None:
    detection = [_detection("normal", 0.91), _detection("wrong", 0.89), _detection("fgsm", 0.91)]
    assert _found(Tables(detection=detection), paper=_PAPER) == []


def test_without_rho_1_there_is_nothing_to_compare() -> None:
    detection = [_detection(kind, 0.1, rho=2.0) for kind in ("normal", "wrong", "fgsm")]
    assert _found(Tables(detection=detection), paper=_PAPER) == []
    assert average_detection(Tables(detection=detection), _PAPER, _COLUMNS) == (None, None)
    only = [_detection("normal", 0.1), _detection("pgd", 0.1)]
    assert average_detection(Tables(detection=only), _PAPER, _COLUMNS) == (
        None,
        _detection("normal", 0.1).no_alarm,
    )
