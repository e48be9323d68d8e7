"""Attackers of a store without robust mutants, quoted from its report."""

from pathlib import Path

import pytest

from evaluation.evasion.earlier import earlier_cells
from evaluation.experiment.records.results import Results
from mutant_guard.errors import DataError

REPORT = Path(__file__).parents[3] / "reports" / "mnist-retrain"


def test_the_worst_case_of_the_default_policy_is_quoted() -> None:
    found = earlier_cells(REPORT, (0.1, 0.2, 0.25))
    assert [(cell.knowledge, cell.size) for cell in found] == [
        ("method", 0.1),
        ("store", 0.1),
        ("method", 0.2),
        ("store", 0.2),
    ]
    results = Results.model_validate_json((REPORT / "results.json").read_bytes())
    for cell in found:
        (same,) = [
            one
            for one in results.adaptive
            if (one.attack, one.detector) == ("worst case", "calibrated retrain")
            and (one.knowledge, one.epsilon) == (cell.knowledge, cell.size)
        ]
        assert (cell.detector, cell.images, cell.evading) == (same.detector, 200, same.evading)


def test_a_report_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"results\.json is no report .* leave out earlier"):
        earlier_cells(tmp_path, (0.1,))
