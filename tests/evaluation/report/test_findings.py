"""What the page says follows from the cells, and changes with them."""

import re
from collections.abc import Callable

from evaluation.experiment.results import Interval, MethodCell, Results
from evaluation.report.cells import Cells
from evaluation.report.findings import findings
from tests.support.paper_cells import shares


def _say(results: Results, **changes: object) -> str:
    return findings(Cells(results.model_copy(update=changes)))


def _with(results: Results, change: Callable[[MethodCell], dict[str, Interval] | None]) -> list[MethodCell]:
    return [cell.model_copy(update=change(cell) or {}) for cell in results.cells]


def _line(text: str, start: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(f"* {start}"))


def test_every_sentence_links_to_a_section_of_the_page(results: Results, page: str) -> None:
    text = findings(Cells(results))
    sentences = [line for line in text.splitlines() if line.startswith("* ")]
    assert len(sentences) > 15
    for sentence in sentences:
        found = re.search(r"\[\w+\]\(#([\w-]+)\)$", sentence)
        assert found, sentence
        assert f'<a id="{found[1]}"></a>' in page


def test_who_beats_whom_follows_the_figures(results: Results) -> None:
    for ours, free, said in (
        (
            0.9,
            0.6,
            "4 of 4 kinds the label change rate beats softmax confidence: wrong 0.900 (0.880–0.920) against",
        ),
        (
            0.6,
            0.9,
            "4 of 4 kinds softmax confidence beats the label change rate: wrong 0.600 (0.580–0.620) against",
        ),
        (0.9, 0.89, "4 of 4 kinds these images could show no difference: wrong 0.900 against 0.890"),
    ):

        def change(cell: MethodCell, ours: float = ours, free: float = free) -> dict[str, Interval] | None:
            if cell.method.startswith("LCR"):
                return {"auroc": shares(ours)}
            return {"auroc": shares(free)} if cell.method == "softmax confidence" else None

        text = _say(results, cells=_with(results, change))
        assert f"AUROC: on {said}" in text
        assert text.count("AUROC: on 0 of 4 kinds") == 2


def test_what_nothing_catches_follows_the_figures(results: Results) -> None:
    missed = _line(_say(results), "What nothing here catches")
    assert "pgd-0.3 (at most" in missed
    caught = [cell.model_copy(update={"detected_5": shares(0.9)}) for cell in results.cells]
    text = _say(results, cells=caught)
    assert "What nothing here catches" not in text
    assert "Every kind is detected at more than 50 %" in text
    trained = {method.name for method in results.methods if method.family == "attacks"}
    only_trained = _with(results, lambda cell: {"detected_5": shares(0.9 if cell.method in trained else 0.1)})
    assert "of 4 kinds of 4" in _line(_say(results, cells=only_trained), "What nothing here catches")


def test_the_best_operator_and_policy_follow_the_figures(results: Results) -> None:
    for best in results.operators:
        aurocs = [
            cell.model_copy(update={"auroc": shares(0.9 if cell.operator == best else 0.7)})
            for cell in results.aurocs
        ]
        alarms = {
            cell: 0.05 if cell[2] == "normal" else 0.9 if cell[:2] == (best, "paper") else 0.5
            for cell in ((cell.operator, cell.policy, cell.kind) for cell in results.policies)
        }
        policies = [
            cell.model_copy(update={"adversarial": shares(alarms[cell.operator, cell.policy, cell.kind])})
            for cell in results.policies
        ]
        text = _say(results, aurocs=aurocs, policies=policies)
        assert f"over all 4 kinds: {best} (γ 0.03) 0.900" in text
        assert f"over all 4 kinds: `paper {best}` does best with 90.0 % detected, 5.0 % false alarms" in text


def test_a_policy_that_always_alarms_is_not_the_best(results: Results) -> None:
    policies = [
        cell.model_copy(update={"adversarial": shares(1.0)}) if cell.policy == "paper" else cell
        for cell in results.policies
    ]
    assert "`calibrated" in _line(_say(results, policies=policies), "Policies by mean").split("does best")[0]


def test_the_worst_case_is_said_even_when_it_is_none(results: Results) -> None:
    adaptive = [cell.model_copy(update={"robust_accuracy": shares(0.0)}) for cell in results.adaptive]
    text = _say(results, adaptive=adaptive)
    assert "knowing the very mutants, robust accuracy 0.0 (0.0–2.0) %" in text
    assert "orthogonal (none, ε 0.1, 0.2, 0.3)" in _line(text, "Prove little")
    failing = [cell.model_copy(update={"success": shares(0.0)}) for cell in results.adaptive]
    assert "too few to prove anything" in _say(results, adaptive=failing)


def test_false_alarms_above_what_was_asked_are_named(results: Results) -> None:
    methods = [m.model_copy(update={"false_alarms_5": shares(0.05, 0.01)}) for m in results.methods]
    assert "none is clearly above that" in _say(results, methods=methods)
    methods = [m.model_copy(update={"false_alarms_5": shares(0.09, 0.01)}) for m in results.methods]
    assert "clearly more than that: `LCR nai`" in _say(results, methods=methods)


def test_agreement_with_the_paper_is_counted(results: Results) -> None:
    cells = [cell for cell in results.aurocs if cell.paper is not None]
    level = [cell.model_copy(update={"paper": cell.auroc.value}) for cell in cells]
    assert f"Of {len(cells)} AUROCs that the paper has, too, {len(cells)} agree" in _say(
        results, aurocs=level
    )
    above = [cell.model_copy(update={"paper": 0.0}) for cell in cells]
    assert f"0 agree within the intervals, {len(cells)} of ours are above" in _say(results, aurocs=above)


def test_answers_of_the_server_that_differ_are_counted(results: Results) -> None:
    cells = [cell.model_copy(update={"same": cell.same - 1}) for cell in results.agreement]
    assert "Of 250 images posted to the real server, 245 got" in _say(results, agreement=cells)


def test_what_was_not_measured_is_not_spoken_of(results: Results) -> None:
    text = _say(results, adaptive=[], shifts=[], agreement=[], methods=[], cells=[], differences=[])
    for absent in ("Adaptive", "softmax", "corrupted", "posted", "False alarms", "catches", "explained"):
        assert absent not in text
    nothing: list[object] = []
    empty = _say(
        results, folded=False, adaptive=nothing, shifts=nothing, agreement=nothing, methods=nothing, cells=nothing,
        differences=nothing, aurocs=nothing, label_change_rates=nothing, policies=nothing, detection=nothing,
    )  # fmt: skip
    assert "* " not in empty
