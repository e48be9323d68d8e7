"""Findings on mutants that were trained again.

Every figure is in its row, and the sentences follow from the cells.
"""

import pytest

from evaluation.experiment.records.record import Interval
from evaluation.experiment.records.results import Results
from evaluation.experiment.records.trained_results import (
    EarlyCell,
    PairedCell,
    SuggestionCell,
    TargetCell,
    TrainedPool,
)
from evaluation.report import markdown
from evaluation.report.cells import Cells
from evaluation.report.findings.trained import trained
from evaluation.report.tables.trained_tables import compared_with, mark, trained_sections


def _interval(value: float, half: float = 0.01) -> Interval:
    return Interval(value=value, low=value - half, high=value + half)


def _target(reach: float | None, value: float, *, at_most: bool = False) -> TargetCell:
    met = None if reach is None else (value <= reach if at_most else value >= reach)
    return TargetCell(
        figure="mutants" if at_most else "detected at 5 %",
        method="doubt retrain",
        kind="wrong",
        prototype=0.5,
        reach=reach,
        at_most=at_most,
        images=123,
        value=_interval(value),
        met=met,
    )


@pytest.fixture(scope="module")
def cells(results: Results) -> Cells:
    ours = results.methods[0]
    doubt = ours.model_copy(update={"name": "doubt retrain"})
    policy = ours.model_copy(update={"name": "calibrated retrain"})
    kinds = [kind.kind for kind in results.kinds]
    of_doubt = [
        cell.model_copy(update={"method": "doubt retrain"})
        for cell in results.cells
        if cell.method == ours.name
    ]
    return Cells(
        results.model_copy(
            update={
                "methods": [*results.methods, doubt, policy],
                "cells": [*results.cells, *of_doubt],
                "targets": [_target(0.9, 0.95), _target(1.5, 1.6, at_most=True), _target(None, 0.2)],
                "paired": [
                    PairedCell(
                        method="doubt retrain",
                        other="softmax confidence",
                        kind=kind,
                        images=77,
                        auroc=_interval(0.1 - 0.1 * place),
                        detected_5=_interval(0.2 - 0.2 * place),
                        detected_1=_interval(-0.3),
                    )
                    for place, kind in enumerate(kinds[1:4])
                ],
                "suggestions": [
                    SuggestionCell(
                        operator="retrain",
                        policy="calibrated",
                        kind=kind,
                        alarms=31 + place,
                        suggested=_interval(0.6),
                        right=_interval(0.8 - 0.1 * place) if place < 2 else None,
                        right_of_all=_interval(0.9),
                        agreed=0.97,
                    )
                    for place, kind in enumerate(kinds[1:4])
                ],
                "early": [
                    EarlyCell(
                        operator="retrain",
                        policy="calibrated",
                        kind=kind,
                        adversarial=_interval(0.5),
                        all_mutants=_interval(0.6),
                        lost=_interval(0.01 * place),
                        mutants=_interval(1.37 + place),
                    )
                    for place, kind in enumerate(kinds)
                ],
                "trained": [
                    TrainedPool(
                        operator="retrain",
                        seed=seed,
                        settings={"share": 0.1, "attacks": ["pgd", "sparse"], "seedling": seed},
                        original_accuracy=0.99,
                        accuracies=[0.98, 0.985],
                        temperatures=(1.1, 0.9),
                        threshold=0.321,
                        seconds=240.0,
                    )
                    for seed in (0, 1)
                ],
            }
        )
    )


def test_every_figure_is_in_its_row(cells: Cells) -> None:
    page = "\n\n".join(trained_sections(cells))
    for target in cells.results.targets:
        assert target.value is not None
        assert f"| 123 | {'50.0 %' if not target.at_most else '0.5'} |" in page
    assert "| **missed** |" in page
    assert page.count("| met |") == 1
    for pair in cells.results.paired:
        row = next(line for line in page.splitlines() if line.startswith(f"| {pair.kind} | 77 |"))
        assert f"{100 * pair.detected_5.value:+.1f} (" in row
        assert "-30.0 (-31.0 to -29.0) ▼" in row
    for early in cells.results.early:
        assert f"| {markdown.percent_interval(early.lost)} | {markdown.interval(early.mutants, 2)} |" in page
    for suggestion in cells.results.suggestions:
        shares = (suggestion.suggested, suggestion.right, suggestion.right_of_all)
        row = " | ".join(markdown.percent_interval(share) for share in shares)
        assert f"| {suggestion.kind} | {suggestion.alarms} | {row} |" in page
    assert "share 0.1, attacks pgd/sparse." in page
    assert page.count("| retrain | ") == 2


def test_others_stand_first(cells: Cells) -> None:
    assert compared_with(cells) == ["softmax confidence", "doubt retrain", "calibrated retrain"]


def test_marks_need_the_whole_interval() -> None:
    assert [mark(_interval(value)) for value in (0.02, 0.005, -0.005, -0.02)] == [" ▲", "", "", " ▼"]


def test_findings_follow_from_the_cells(cells: Cells) -> None:
    kinds = [kind.kind for kind in cells.results.kinds]
    asked, paired, early, suggested = trained(cells)
    assert asked.startswith("**Asked for:** 1 of 2 figures met; missed: mutants (wrong).")
    assert (
        f"at 5 % false alarms ahead beyond chance on 1 of 3 kinds, behind on {kinds[3]} (-20.0 points)"
        in paired
    )
    assert (
        f"at 1 % false alarms ahead beyond chance on 0 of 3 kinds, behind on {kinds[1]} (-30.0 points)"
        in paired
    )
    last = len(kinds) - 1
    assert f"takes 1.37 mutants on a normal image; what it clears too early is at most {last}.0 %" in early
    assert f"from 70.0 % ({kinds[2]}) to 80.0 % ({kinds[1]})" in suggested


def test_without_trained_mutants_nothing_is_said(results: Results) -> None:
    assert trained(Cells(results)) == []
    assert trained_sections(Cells(results)) == []
