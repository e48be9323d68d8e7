"""Findings on the page: they follow from the cells, and change with them."""

import re

import pytest

from evaluation.experiment.records.results import Results
from evaluation.report.cells import Cells
from evaluation.report.findings.page import findings
from evaluation.report.write import markdown as whole_page
from tests.evaluation.report.saying import detecting, say, sentence
from tests.support.paper_cells import shares
from tests.support.results import synthetic

_TITLES = ["Against the free", "Which to use", "What no setting catches", "How far it agrees"]


def _rows(text: str) -> dict[str, list[str]]:
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| [")]
    return {row[0].split("]")[0].strip("["): row[1:] for row in rows}


@pytest.mark.parametrize("small", [True, False])
def test_the_findings_are_one_page(small: bool) -> None:
    text = say(synthetic(small=small))
    sentences = [line for line in text.splitlines() if line.startswith("* ")]
    assert [text.index(f"### {title}") for title in _TITLES] == sorted(
        text.index(f"### {t}") for t in _TITLES
    )
    assert len(text.split("### ")[0].split("\n* ")) - 1 == 4
    assert len(sentences) <= 17
    assert len(text) < 8000


def test_every_sentence_links_to_a_section_of_the_page(results: Results, page: str) -> None:
    text = findings(Cells(results))
    for line in text.splitlines():
        if line.startswith(("* ", "| [")):
            anchors = re.findall(r"\]\(#([\w-]+)\)", line)
            assert anchors, line
            assert all(f'<a id="{anchor}"></a>' in page for anchor in anchors)


def test_every_number_is_in_a_table_below(results: Results, page: str) -> None:
    """Means over the kinds, and the remainders of all images, are computed here from the cells."""
    text = findings(Cells(results))
    below = page.removeprefix(page.split("## Label change rates", maxsplit=1)[0])
    worked_out = set()
    for method in results.methods:
        each = [cell.detected_5.value for cell in results.cells if cell.method == method.name]
        worked_out.add(f"{100 * sum(each) / len(each):.1f}")
    worked_out |= {f"{100 * (1 - cell.success.value):.1f}" for cell in results.adaptive}
    worked_out |= {f"{100 * cell.no_alarm.value:.1f}" for cell in results.detection}
    found = re.findall(r"(\d+\.\d) %", text)
    assert len(found) > 40
    for figure in found:
        assert f"{figure} " in below or f"{figure}**" in below or figure in worked_out, figure


@pytest.mark.parametrize(
    ("ours", "free", "word"), [(0.9, 0.6, "better"), (0.6, 0.9, "worse"), (0.9, 0.89, "level")]
)
def test_the_word_of_a_kind_follows_the_figures(
    results: Results, ours: float, free: float, word: str
) -> None:
    cells = detecting(
        results,
        lambda method, _: ours if method == "LCR gf" else 0.1 if method == "LCR nai" else free,
    )
    text = say(results, cells=cells)
    for row in _rows(text).values():
        assert (row[1], row[-1]) == (f"{100 * ours:.1f} % gf", word)
    first = text.splitlines()[4]
    assert f"taking the best operator for each kind, is {word} on all 4 kinds" in first
    assert "`calibrated nai`, at its own" in first
    assert "is level on all 4 kinds. [table]" in first


def test_the_headline_counts_the_words_and_marks_of_the_table(results: Results) -> None:
    share = {"wrong": 0.9, "fgsm": 0.2, "cw": 0.5, "pgd-0.3": 0.5}
    cells = detecting(results, lambda method, kind: 0.5 if method == "softmax confidence" else share[kind])
    text = say(results, cells=cells)
    assert [row[-1] for row in _rows(text).values()] == ["better", "worse", "level", "level"]
    assert [row[2] for row in _rows(text).values()] == ["90.0 % ▲", "20.0 % ▼", "50.0 %", "50.0 %"]
    assert text.splitlines()[4].count("better on 1, worse on 1 and level on 2 of 4 kinds") == 2


def test_the_kind_missed_most_and_who_finds_it_follow_the_figures(results: Results) -> None:
    for missed in ("wrong", "cw"):

        def share(method: str, kind: str, missed: str = missed) -> float:
            if method in {"feature squeezing", "dropout"}:
                return 0.8
            return 0.3 if kind == missed else 0.7

        line = sentence(say(results, cells=detecting(results, share)), "**Missed most")
        assert (
            f"of {missed}, `calibrated nai` detects 30.0 % (`softmax confidence` 30.0 %, `dropout` 80.0 %)"
            in line
        )


def test_the_cost_is_that_of_the_default_policy(results: Results) -> None:
    cell = next(
        c for c in results.policies if (c.policy, c.operator, c.kind) == ("calibrated", "nai", "normal")
    )
    line = sentence(say(results), "**Cost")
    assert f"{cell.mean_mutants:.3g} mutants and 2 ms a normal image" in line
    methods = [method.model_copy(update={"milliseconds": None}) for method in results.methods]
    assert " ms" not in sentence(say(results, methods=methods), "**Cost")


def test_attackers_are_said_at_the_largest_size_where_they_succeed(results: Results) -> None:
    line = sentence(say(results), "**Attackers who know the method")
    assert "at ε 0.3; without a guard 5.0 %" in line
    weaker = [
        cell.model_copy(update={"success": shares(0.4)}) if cell.epsilon == 0.3 else cell
        for cell in results.adaptive
    ]
    text = say(results, adaptive=weaker)
    assert "at ε 0.2; without a guard 5.0 %" in sentence(text, "**Attackers who know the method")
    none = [cell.model_copy(update={"success": shares(0.2)}) for cell in results.adaptive]
    text = say(results, adaptive=none)
    assert "only 20.0 % of the images at ε 0.3" in sentence(text, "**Attackers who know the method")
    assert sentence(text, "**Adaptive attackers").count("too few to prove anything") == 3
    assert "robust accuracy" not in text


def test_only_the_default_policy_is_said_of_the_attackers(results: Results) -> None:
    line = sentence(say(results), "**Adaptive attackers")
    assert line.count("robust accuracy") == 3
    assert "LCR" not in line
    others = [cell for cell in results.adaptive if cell.detector != "calibrated nai"]
    assert "ttackers" not in say(results, adaptive=others)


def test_what_no_setting_catches_follows_the_figures(results: Results) -> None:
    trained = {method.name for method in results.methods if method.family == "attacks"}

    def kinds(ours: float, others: float, attacks: float) -> str:
        def share(method: str, kind: str) -> float:
            if kind != "cw":
                return 0.9
            ours_too = method.startswith(("LCR", "calibrated"))
            return attacks if method in trained else ours if ours_too else others

        return sentence(say(results, cells=detecting(results, share)), "**Kinds")

    assert "of 1 of 4 kinds; the most that any does: cw 40.0 %" in kinds(0.4, 0.6, 0.9)
    assert "Others do: cw (`softmax confidence` 60.0 %)" in kinds(0.4, 0.6, 0.9)
    assert "Only detectors trained on attacks do: cw (`LID` 90.0 %)" in kinds(0.4, 0.3, 0.9)
    assert "No detector here does: cw." in kinds(0.4, 0.3, 0.2)
    assert "more than half of every kind" in kinds(0.6, 0.3, 0.2)
    assert "the least is cw with 60.0 %" in kinds(0.6, 0.3, 0.2)


def test_shifts_are_told_from_images_of_no_class(results: Results) -> None:
    for_each = [
        shift.model_copy(update={"alarms": {"calibrated nai": shares(0.1 * place)}})
        for place, shift in enumerate(results.shifts, start=1)
    ]
    line = sentence(say(results, shifts=for_each), "**Shifts")
    assert "on corrupted images from 10.0 % (gaussian noise) to 30.0 % (rotation)" in line
    assert "on images of no class 40.0 % (fashion)" in line
    assert "no class" not in say(results, shifts=for_each[:3])
    alike = [shift.model_copy(update={"alarms": {"calibrated nai": shares(1.0)}}) for shift in for_each]
    line = sentence(say(results, shifts=alike), "**Shifts")
    assert "on corrupted images 100.0 % (gaussian noise, " in line


def test_alarms_on_harmless_shifts_stand_beside_those_of_softmax_confidence(results: Results) -> None:
    first, second, *_ = results.shifts
    alarms = {"calibrated nai": shares(0.111), "softmax confidence": shares(0.888)}
    shifted = [
        first.model_copy(update={"alarms": alarms, "accuracy": 0.995}),
        second.model_copy(update={"alarms": alarms, "accuracy": 0.9}),
    ]
    line = sentence(say(results, shifts=shifted), "**Shifts")
    assert f"softmax confidence: {first.shift} 11.1 % against 88.8 %. [" in line
    assert "stay right" not in sentence(say(results, shifts=shifted[1:]), "**Shifts")


def test_agreement_with_the_paper_is_counted(results: Results) -> None:
    cells = [cell for cell in results.aurocs if cell.paper is not None]
    level = [cell.model_copy(update={"paper": cell.auroc.value}) for cell in cells]
    assert f"{len(cells)} AUROCs: {len(cells)} within the intervals (" in say(results, aurocs=level)
    above = [cell.model_copy(update={"paper": 0.0}) for cell in cells[1:]]
    assert f"{len(cells)} AUROCs: 1 within the intervals, {len(cells) - 1} of ours above (" in say(
        results, aurocs=[level[0], *above]
    )
    alarms = [cell.model_copy(update={"adversarial": shares(0.777)}) for cell in results.detection]
    assert "`nai` 77.7 % and 22.3 % (94.3 % and 90.7 %)" in say(results, detection=alarms)
    assert "3 differences from the paper beyond the intervals, 1 without a known reason" in say(results)
    known = [cell.model_copy(update={"explanation": "because"}) for cell in results.differences]
    assert "3 differences from the paper beyond the intervals, each with its reason" in say(
        results, differences=known
    )


def test_answers_of_the_server_that_differ_are_counted(results: Results) -> None:
    cells = [cell.model_copy(update={"same": cell.same - 1}) for cell in results.agreement]
    assert "Of 250 answers of the real server over HTTP, 245 are" in say(results, agreement=cells)


@pytest.mark.parametrize(
    ("absent", "words"),
    [
        ("adaptive", ["ttackers"]),
        ("shifts", ["Shifts"]),
        ("agreement", ["server over HTTP"]),
        ("differences", ["differences from"]),
        ("aurocs", ["AUROC", "Operator:"]),
        ("paper_detection", ["Algorithm 1"]),
        ("label_change_rates", ["mean label change rates"]),
        ("cells", ["softmax", "Kinds:", "Policy:", "A better", "Best of", "Missed most"]),
        ("methods", ["Cost:", "Cheapest", "calibrated", "Kinds:", "Shifts"]),
    ],
)
def test_what_was_not_measured_is_not_spoken_of(results: Results, absent: str, words: list[str]) -> None:
    whole, text = say(results), say(results, **{absent: []})
    assert text != whole
    assert not [word for word in words if word in text]
    page = whole_page(results.model_copy(update={absent: []}), [])
    linked = set(re.findall(r"\]\(#([\w-]+)\)", page))
    assert linked <= set(re.findall(r'<a id="([\w-]+)"></a>', page))


def test_without_softmax_confidence_there_is_no_table_of_it(results: Results) -> None:
    cells = [cell for cell in results.cells if cell.method != "softmax confidence"]
    methods = [method for method in results.methods if method.name != "softmax confidence"]
    text = say(results, cells=cells, methods=methods)
    assert "softmax" not in text
    assert "**Missed most" in text


def test_nothing_measured_says_nothing(results: Results) -> None:
    empty: dict[str, object] = {
        name: [] for name, value in results if isinstance(value, list) and name not in {"kinds", "operators"}
    }
    text = say(results, folded=False, **empty)
    assert "* " not in text
    assert "### " not in text
    assert text == '<a id="findings"></a>\n\n## Findings'


def test_a_default_policy_without_cells_is_not_judged(results: Results) -> None:
    cells = [cell for cell in results.cells if not cell.method.startswith("calibrated")]
    text = say(results, cells=cells, policies=[])
    assert "default:" not in text
    assert "None" not in text
    assert _rows(text)["wrong"][-1] in {"better", "worse", "level"}
