"""Claims of the README: its table, the figures beside it, and its length."""

import re
from typing import Any

from evaluation.evasion.counting import STRONGEST
from evaluation.experiment.records.results import Results
from tests.support.evasion_tables import attacked, reported
from tests.support.pages import ROOT, page, rows

README = page("README.md")
TEXT = " ".join(README.split())
_METHODS = ("softmax confidence", "LCR nai", "deep ensemble", "calibrated retrain")


def results(name: str) -> Results:
    return Results.model_validate_json((ROOT / f"reports/{name}/results.json").read_bytes())


def test_the_table_is_what_the_report_says() -> None:
    report = results("mnist-retrain")
    cells = {(cell.method, cell.kind): cell.detected_5.value for cell in report.cells if cell.detected_5}
    shown = {row[0]: row[1:] for row in rows(README, "short mnist-retrain")}
    assert len(shown) == 5
    for kind, row in shown.items():
        assert row == [f"{100 * cells[method, kind]:.1f} %" for method in _METHODS], kind


def test_the_table_shows_what_the_guard_does_worst() -> None:
    cells = [cell for cell in results("mnist-retrain").cells if cell.method == "calibrated retrain"]
    worst = min((cell for cell in cells if cell.detected_5), key=lambda cell: cell.detected_5.value)
    assert worst.kind in {row[0] for row in rows(README, "short mnist-retrain")}


def test_the_false_alarms_beside_it_are_those_of_the_report() -> None:
    (method,) = [one for one in results("mnist-retrain").methods if one.name == "calibrated retrain"]
    assert f"mutant-guard raises {100 * method.false_alarms_5.value:.1f} % here" in TEXT
    assert round(method.forward_passes - 1) == 1, "most clean images take one"


def test_the_limit_under_it_is_that_of_the_report() -> None:
    found: dict[Any, float] = {
        (cell.knowledge, cell.epsilon): cell.evading.value
        for cell in results("mnist-retrain").adaptive
        if (cell.attack, cell.detector) == ("worst case", "calibrated retrain")
    }

    def shown(knowledge: str, epsilon: float) -> str:
        return f"{100 * found[knowledge, epsilon]:.1f} %"

    table = README.index("<!-- short mnist-retrain -->")
    under = README[README.index("\n\n", table) :].lstrip()
    limit = " ".join(under[: under.index("\n\n")].split())
    assert limit.startswith("**The limit:**")
    assert f"{shown('method', 0.2)} of images past the guard at ε = 0.2" in limit
    assert f"and {shown('method', 0.3)} at ε = 0.3" in limit
    assert f"get {shown('store', 0.2)} and {shown('store', 0.3)} past it" in limit


def test_who_holds_a_store_with_a_robust_mutant_gets_as_far_as_the_report_says() -> None:
    """The figures are there as soon as the report is."""
    there = "mnist-robust" in reported("robust")
    assert ("**robust mutant**" in README) == there
    if there:
        found = {
            (cell.policy, cell.size): f"{100 * cell.evading.value:.1f} %"
            for cell in attacked("mnist-robust").cells
            if (cell.attack, cell.norm) == (STRONGEST, "linf")
        }
        assert f"{found['5 %', 0.2]} and {found['5 %', 0.3]} where a **robust mutant**" in TEXT
        assert f"({found['1 %', 0.2]} and {found['1 %', 0.3]} at 1 % false alarms)" in TEXT


def test_the_limits_further_down_are_those_of_the_reports() -> None:
    (cell,) = [
        one
        for one in results("cifar10-retrain").cells
        if (one.method, one.kind) == ("calibrated retrain", "wrong")
    ]
    assert cell.detected_5 is not None
    assert f"it finds {100 * cell.detected_5.value:.1f} % of those that ResNet-20 misreads" in TEXT
    (shift,) = [one for one in results("mnist-retrain").shifts if one.shift == "contrast 0.3"]
    assert shift.accuracy is not None
    assert shift.accuracy > 0.99
    alarms = shift.alarms["calibrated retrain"].value
    assert f"{100 * alarms:.1f} % of digits at a third of the contrast, labels still right" in TEXT


def test_it_is_short() -> None:
    assert len(README.split()) <= 1000


def test_where_links_lead_can_be_read() -> None:
    """A package's page has no files to link to, so it shows the name of the file."""
    for shown, target in re.findall(r"(?<!!)\[([^\]]+)\]\(([^)#]+)", README):
        assert shown in {target, "Apache 2.0"}


def test_the_table_of_companions_is_what_the_report_says() -> None:
    report = results("imagenet-lite0")
    methods = ("softmax confidence", "feature squeezing", "calibrated lite1+lite2")
    cells = {(cell.method, cell.kind): cell.detected_5.value for cell in report.cells if cell.detected_5}
    shown = {row[0]: row[1:] for row in rows(README, "short imagenet-lite0")}
    assert set(shown) >= {"wrong", "fgsm 2/255", "pgd 8/255", "deepfool"}
    for kind, row in shown.items():
        assert row == [f"{100 * cells[method, kind]:.1f} %" for method in methods], kind
    (method,) = [one for one in report.methods if one.name == "calibrated lite1+lite2"]
    assert f"mutant-guard raises {100 * method.false_alarms_5.value:.1f} % false alarms there" in TEXT


def test_the_page_on_companions_shows_the_whole_report() -> None:
    report = results("imagenet-lite0")
    methods = (
        "softmax confidence",
        "feature squeezing",
        "LCR nai",
        "calibrated lite1",
        "calibrated lite1+lite2",
    )
    expected = {
        cell.kind: [
            f"{100 * one.detected_5.value:.1f} %"
            for method in methods
            for one in report.cells
            if (one.method, one.kind) == (method, cell.kind) and one.detected_5
        ]
        for cell in report.cells
    }
    alarms = {method.name: method.false_alarms_5.value for method in report.methods}
    expected["*false alarms*"] = [f"{100 * alarms[method]:.1f} %" for method in methods]
    assert {row[0]: row[1:] for row in rows(page("docs/companions.md"), "imagenet-lite0")} == expected
