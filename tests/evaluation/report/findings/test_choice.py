"""Recommendations on the page: they follow from the cells."""

from evaluation.experiment.records.results import Results
from tests.evaluation.report.saying import detecting, say, sentence
from tests.support.paper_cells import shares


def test_the_best_operator_and_policy_follow_the_figures(results: Results) -> None:
    for best, other in (("nai", "gf"), ("gf", "nai")):
        aurocs = [
            cell.model_copy(update={"auroc": shares(0.9 if cell.operator == best else 0.7)})
            for cell in results.aurocs
        ]
        cells = detecting(
            results,
            lambda method, _, best=best: 0.9 if method == f"calibrated {best}" else 0.4,  # type: ignore[misc]
        )
        text = say(results, aurocs=aurocs, cells=cells)
        operator, policy = sentence(text, "**Operator"), sentence(text, "**Policy")
        assert (
            f"`{best}` 0.900, `{other}` 0.700; `{best}` against `{other}`, by intervals: better on all 4"
            in operator
        )
        is_default = ", the default" if best == "nai" else ""
        assert f"`calibrated {best}`{is_default} does best of 2 settings" in policy
        assert f"`calibrated {best}` detects 90.0 %" in policy
        assert ("detects 40.0 %" in policy) == (best == "gf")
    level = [cell.model_copy(update={"auroc": shares(0.8)}) for cell in results.aurocs]
    assert "but these images show no difference from" in sentence(say(results, aurocs=level), "**Operator")


def test_a_policy_that_always_alarms_is_not_the_best(results: Results) -> None:
    methods = [
        method.model_copy(update={"false_alarms_5": shares(1.0)})
        if method.name == "calibrated gf"
        else method
        for method in results.methods
    ]
    cells = detecting(results, lambda method, _: 1.0 if method == "calibrated gf" else 0.5)
    assert "less false alarms, `calibrated nai`" in sentence(
        say(results, methods=methods, cells=cells), "**Policy"
    )


def test_a_better_detector_is_said_plainly_where_there_is_one(results: Results) -> None:
    cells = detecting(results, lambda method, _: 0.9 if method == "dropout" else 0.5)
    line = sentence(say(results, cells=cells), "**A better detector that is not ours")
    assert "`dropout` detects 90.0 %" in line
    assert "By intervals `dropout` is better on all 4 kinds" in line
    cells = detecting(results, lambda method, _: 0.95 if method == "LCR gf" else 0.5)
    text = say(results, cells=cells)
    assert "A better detector" not in text
    assert "is worse on all 4 kinds" in sentence(text, "**Best of the others")
