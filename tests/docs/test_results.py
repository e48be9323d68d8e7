"""Tests that the figures in docs/results.md are those of the reports."""

import json
import re
from typing import Any

import pytest

from evaluation.experiment.records.results import Results
from tests.support.evasion_tables import attacked, configured, detection_rows, evasion_rows, reported
from tests.support.pages import ROOT, page, rows

PAGE = page("docs/results.md")


def percent(value: dict[str, Any]) -> str:
    return f"{100 * value['rate']:.1f} % ({100 * value['low']:.1f}–{100 * value['high']:.1f})"


def test_mnist_figures_are_those_of_the_report() -> None:
    report = json.loads((ROOT / "reports/mnist-over-http/results.json").read_bytes())
    for policy in report["policies"]:
        cells = [percent(policy[name]) for name in ("accuracy", "false_alarms", "alarms", "undecided")]
        assert f"| `{policy['policy']}` | {' | '.join(cells)} | {policy['mean_mutants']:.1f} |" in PAGE
    rate = report["label_change_rate"]
    assert f"{100 * rate['mean']:.2f} ± {100 * rate['half_width']:.2f} % (99 %)" in PAGE
    assert report["data"] == "mnist@test[0:1000]"


_METHODS = ("softmax confidence", "LCR nai", "calibrated nai", "feature squeezing", "deep ensemble")


def _detection_table(name: str) -> list[list[str]]:
    """Return the rows of the page's table of a report, after comparing them with the report.

    A row has a kind, and the detection by each method.
    """
    report = json.loads((ROOT / f"reports/{name}/results.json").read_bytes())
    cells = {(cell["method"], cell["kind"]): cell["detected_5"]["value"] for cell in report["cells"]}
    table = rows(PAGE, name)
    for kind, *shown in table:
        assert shown == [f"{100 * cells[method, kind]:.1f} %" for method in _METHODS], kind
    return table


def test_what_it_catches_is_what_the_reports_say() -> None:
    for name, least in (("mnist", "pgd 0.2"), ("cifar10", "pgd 8/255")):
        kinds = [row[0] for row in _detection_table(name)]
        assert {"wrong", "fgsm", "deepfool", least} <= set(kinds)


_RETRAINED = ("softmax confidence", "LCR nai", "deep ensemble", "doubt retrain", "calibrated retrain")
_COSTS = {"*mutants a clean image*", "*ms an image, one at a time*"}


_REPORTS = re.findall(r"<!-- (\w+-retrain) -->", PAGE)


@pytest.mark.parametrize("name", _REPORTS)
def test_what_retrained_mutants_catch_is_what_the_reports_say(name: str) -> None:
    results = Results.model_validate_json((ROOT / f"reports/{name}/results.json").read_bytes())
    cells = {(cell.method, cell.kind): cell.detected_5.value for cell in results.cells if cell.detected_5}
    methods = {method.name: method for method in results.methods}
    shown = {row[0]: row[1:] for row in rows(PAGE, name)}
    assert shown.keys() - _COSTS == {cell.kind for cell in results.cells}, "every kind, not a choice"
    for kind in shown.keys() - _COSTS:
        assert shown[kind] == [f"{100 * cells[method, kind]:.1f} %" for method in _RETRAINED], kind
    mutants, milliseconds = (shown[name] for name in sorted(_COSTS, reverse=True))
    assert mutants == [f"{methods[name].forward_passes - 1:.1f}" for name in _RETRAINED]
    assert milliseconds == [f"{methods[name].milliseconds:.2f}" for name in _RETRAINED]


_ATTACKERS = [("none", "success"), *[("none", "evading")] * 2, ("method", "evading"), ("store", "evading")]
_JUDGES = ["calibrated retrain", "softmax confidence", *["calibrated retrain"] * 3]


@pytest.mark.parametrize("name", re.findall(r"<!-- adaptive (\w+-retrain) -->", PAGE))
def test_attackers_who_know_the_guard_get_as_far_as_the_reports_say(name: str) -> None:
    results = Results.model_validate_json((ROOT / f"reports/{name}/results.json").read_bytes())
    sizes = sorted({cell.epsilon for cell in results.adaptive})
    found = {
        (cell.knowledge, cell.epsilon, cell.detector): cell
        for cell in results.adaptive
        if cell.attack == "worst case"
    }
    for row, (knowledge, figure), judge in zip(
        rows(PAGE, f"adaptive {name}"), _ATTACKERS, _JUDGES, strict=True
    ):
        cells = [getattr(found[knowledge, size, judge], figure).value for size in sizes]
        assert row[1:] == [f"{100 * value:.1f} %" for value in cells], row[0]


@pytest.mark.parametrize("name", configured("robust", "certified"))
def test_who_knows_a_robust_mutant_gets_as_far_as_the_reports_say(name: str) -> None:
    there = name in reported("robust", "certified")
    assert (f"<!-- evasion {name} -->" in PAGE) == there
    if there:
        assert rows(PAGE, f"evasion {name}") == evasion_rows(attacked(name))


@pytest.mark.parametrize("name", configured("robust-detection"))
def test_what_is_caught_beside_a_robust_mutant_is_what_the_reports_say(name: str) -> None:
    there = name in reported("robust-detection")
    assert (f"<!-- {name} -->" in PAGE) == there
    if there:
        assert rows(PAGE, name) == detection_rows(name)


def test_the_first_table_is_that_of_retrained_mutants() -> None:
    assert PAGE.index("<!-- mnist-retrain -->") < PAGE.index("<!-- adaptive mnist-retrain -->")
    assert PAGE.index("<!-- adaptive mnist-retrain -->") < PAGE.index("<!-- mnist -->")


def test_algorithm_1_comes_within_a_point_of_the_paper() -> None:
    results = Results.model_validate_json((ROOT / "reports/mnist-98/results.json").read_bytes())
    (paper,) = [row for row in results.paper_detection if row.operator == "nai"]
    columns = {kind.kind: kind.paper for kind in results.kinds}
    at_one = [cell for cell in results.detection if (cell.operator, cell.rho) == ("nai", 1)]
    found = [cell.adversarial.value for cell in at_one if columns[cell.kind] in paper.columns]
    (normal,) = [cell.no_alarm.value for cell in at_one if cell.kind == "normal"]
    assert len(found) == 6
    assert abs(sum(found) / 6 - paper.accuracy) < 0.01
    assert abs(normal - paper.normal) < 0.01


def _orders(name: str, ours: str) -> tuple[float, float]:
    """Compare a detector of ours with softmax confidence over the kinds of a report.

    Returns:
        Shares of the kinds on which the detector is better, and worse.
    """
    results = Results.model_validate_json((ROOT / f"reports/{name}/results.json").read_bytes())
    cells = {(cell.method, cell.kind): cell.detected_5 for cell in results.cells}
    pairs = [(cells[ours, kind], cell) for (method, kind), cell in cells.items() if method == _METHODS[0]]
    better = sum(mine.low > other.high for mine, other in pairs)
    worse = sum(mine.high < other.low for mine, other in pairs)
    return better / len(pairs), worse / len(pairs)


def test_softmax_confidence_is_as_good_as_the_page_says() -> None:
    for name in ("mnist", "cifar10"):
        assert sum(_orders(name, "LCR nai")) < 0.4, "level on most kinds"
    assert _orders("mnist", "calibrated nai")[0] == 0
    assert 0.45 < _orders("mnist", "calibrated nai")[1] < 0.6, "more than `calibrated` of half of them"
    assert 0 < _orders("cifar10", "LCR nai")[0] < 0.25
    assert _orders("cifar10", "LCR nai")[1] == 0
    assert sum(_orders("cifar10", "calibrated nai")) < 0.2, "level on nearly all"


def test_harmless_changes_are_left_alone() -> None:
    results = Results.model_validate_json((ROOT / "reports/mnist/results.json").read_bytes())
    shifts = {shift.shift: shift for shift in results.shifts}
    for name in ("blur", "contrast 0.3"):
        shift = shifts[name]
        assert shift.accuracy is not None
        assert shift.accuracy > 0.99
        assert 3 * shift.alarms["calibrated nai"].value < shift.alarms["softmax confidence"].value


def test_what_retrained_mutants_do_with_harmless_changes_is_said() -> None:
    results = Results.model_validate_json((ROOT / "reports/mnist-retrain/results.json").read_bytes())
    shifts = {shift.shift: shift for shift in results.shifts}
    text = " ".join(PAGE.split())
    for name, said in (("contrast 0.3", "of digits at a third of the contrast"), ("blur", "of blurred ones")):
        accuracy, alarms = shifts[name].accuracy, shifts[name].alarms["calibrated retrain"].value
        assert accuracy is not None
        assert accuracy > 0.99
        assert f"{100 * alarms:.1f} % {said}" in text


def test_links_into_reports_lead_to_their_parts() -> None:
    found = re.findall(r"\]\(\.\./(reports/[\w/-]+\.md)#([\w-]+)\)", PAGE)
    assert len(found) > 5
    for report, anchor in found:
        assert f'<a id="{anchor}"></a>' in (ROOT / report).read_text(encoding="utf-8"), (report, anchor)
