"""Tests that every cell of the results is on the page, in its row."""

from evaluation.experiment.records.results import Results
from evaluation.report import markdown
from evaluation.report.cells import Cells
from evaluation.report.tables.paper_tables import paper_sections
from evaluation.report.write import markdown as whole_page


def _section(page: str, anchor: str) -> str:
    return page.split(f'<a id="{anchor}"></a>')[1].split("<a id=", maxsplit=1)[0]


def _row(text: str, *starts: str) -> str:
    head = "| " + " | ".join(starts) + " |"
    return next(line for line in text.splitlines() if line.startswith(head))


def test_the_papers_tables_hold_every_cell(results: Results, page: str) -> None:
    rates = _section(page, "label-change-rates")
    for cell in results.label_change_rates:
        block = rates.split(f"**{cell.operator}**")[1]
        row = _row(block, cell.kind)
        assert markdown.percent_around(cell.mean, 2) in row
        assert markdown.paper_percent(cell.paper, 2) in row
    for distance in results.distances:
        block = _section(page, "distances").split(f"**{distance.operator}**")[1]
        assert markdown.interval(distance.distance, 1) in _row(block, distance.kind)
    for area in results.aurocs:
        block = _section(page, "aurocs").split(f"**{area.operator}**")[1]
        assert markdown.interval(area.auroc) in _row(block, area.kind)
    for answer in results.detection:
        block = _section(page, "detection").split(f"<summary>{answer.operator}")[1]
        row = _row(block, answer.kind, f"{answer.rho:g}")
        for share in (answer.adversarial, answer.undecided, answer.normal, answer.forced):
            assert markdown.percent_interval(share) in row
        assert row.endswith(f"| {markdown.plain(answer.mean_mutants)} |")
    for paper in results.paper_detection:
        assert f"| {markdown.percent(paper.accuracy)} | {markdown.plain(paper.mutants)} |" in page
    for cost in results.costs:
        assert markdown.plain(cost.forward_ms) in _row(_section(page, "costs"), cost.operator)
    for difference in results.differences:
        row = _row(_section(page, "differences"), difference.table, difference.operator)
        assert (difference.explanation or "not known").replace("|", "\\|") in row


def test_the_detectors_tables_hold_every_cell(results: Results, page: str) -> None:
    for method in results.methods:
        row = _row(_section(page, "methods"), method.name, method.family)
        assert markdown.percent_interval(method.false_alarms_5) in row
        assert markdown.plain(method.milliseconds) in row
    for cell in results.cells:
        if cell.auroc is not None:
            assert markdown.interval(cell.auroc) in _section(page, "auroc-by-method")
            assert markdown.percent_interval(cell.detected_1) in _section(page, "detected-at-1")
        assert markdown.percent_interval(cell.detected_5) in _section(page, "detected-at-5")
        assert markdown.number(cell.matthews) in _row(_section(page, "mcc"), cell.method)
    for policy in results.policies:
        block = _section(page, "policies").split(f"**{policy.policy}, {policy.operator}**")[1]
        row = _row(block, policy.kind)
        assert markdown.percent_interval(policy.adversarial) in row
        assert row.endswith(f"| {markdown.plain(policy.mean_mutants)} |")


def test_the_robustness_tables_hold_every_cell(results: Results, page: str) -> None:
    for cell in results.adaptive:
        if cell.attack == "worst case":
            row = _row(_section(page, "worst-case"), cell.knowledge, cell.detector, f"{cell.epsilon:.3g}")
        else:
            block = _section(page, "adaptive").split(f"**{cell.detector}**")[1]
            row = _row(block, cell.attack, cell.knowledge, f"{cell.epsilon:.3g}")
        for share in (cell.success, cell.detected, cell.evading, cell.robust_accuracy):
            assert markdown.percent_interval(share) in row
        assert ("†" in row) == (cell.success.value < 0.5)
    for shift in results.shifts:
        row = _row(_section(page, "shifts"), shift.shift)
        assert all(markdown.percent_interval(alarms) in row for alarms in shift.alarms.values())


def test_the_setup_holds_every_record(results: Results, page: str) -> None:
    for kind in results.kinds:
        row = _row(_section(page, "samples"), kind.kind)
        assert markdown.percent_interval(kind.success) in row
        assert all(name in row for name in kind.settings)
    for pool in results.pools:
        row = _row(
            _section(page, "pools"), pool.operator, f"{pool.rate:g}{' (main)' if pool.rate == 0.03 else ''}"
        )
        assert str(pool.drawn or pool.refused) in row
    for agreement in results.agreement:
        assert f"| {agreement.posted} | {agreement.same} |" in _row(
            _section(page, "agreement"), agreement.kind
        )
    for name, version in results.environment.versions.items():
        assert f"| {name} | {version} |" in page
    assert "neurons, N (" in _section(page, "folding")


def test_a_cell_that_differs_is_marked(results: Results) -> None:
    first = next(cell for cell in results.label_change_rates if cell.paper is not None)
    assert first.paper is not None
    for value, mark in ((first.mean.value + 0.5, "▼"), (first.mean.value, "")):
        paper = first.paper.model_copy(update={"value": value})
        only = results.model_copy(update={"label_change_rates": [first.model_copy(update={"paper": paper})]})
        row = _row(paper_sections(Cells(only), [])[1], first.kind)
        assert row.split("|")[2].strip() == f"{markdown.percent_around(first.mean, 2)} {mark}".strip()


def test_a_refused_pool_says_why(results: Results) -> None:
    pool = results.pools[0].model_copy(update={"drawn": None, "refused": "nothing to mutate"})
    text = whole_page(results.model_copy(update={"pools": [pool], "folded": False}), [])
    assert f"| {pool.operator} | {pool.rate:g} | nothing to mutate | – | – |" in text
    assert "folding" not in text


def test_notes_stand_below_the_detectors_once_each(results: Results, page: str) -> None:
    text = _section(page, "methods")
    table, notes = text.split("<details>")
    assert "| False alarms, asked 1 %: found | False alarms, asked 5 %: found |" in table
    for method in results.methods:
        assert not method.note or method.note not in table
        assert not method.note or f"* `{method.name}`: {method.note}" in notes
    same = [method.model_copy(update={"note": "one | note"}) for method in results.methods[:2]]
    text = whole_page(results.model_copy(update={"methods": same}), [])
    assert "* `LCR nai`, `LCR gf`: one | note\n\n</details>" in text
    bare = [method.model_copy(update={"note": ""}) for method in results.methods]
    text = whole_page(results.model_copy(update={"methods": bare}), [])
    assert "<details>" not in _section(text, "methods")


def test_folding_is_said_before_the_papers_tables(results: Results, page: str) -> None:
    remark = _section(page, "beside-the-paper")
    assert "neurons, N and σ are not the paper's" in remark
    assert page.index('"beside-the-paper"') < page.index('"label-change-rates"')
    assert "beside-the-paper" not in whole_page(results.model_copy(update={"folded": False}), [])


def test_detectors_that_were_not_attacked_are_named(results: Results, page: str) -> None:
    assert "`softmax confidence` was not attacked: an attack aimed at it may" in _section(page, "worst-case")
    ours = [cell for cell in results.adaptive if cell.detector != "softmax confidence"]
    text = whole_page(results.model_copy(update={"adaptive": ours}), [])
    assert "not attacked" not in text
    renamed = [cell.model_copy(update={"detector": "entropy"}) for cell in results.adaptive[:3]]
    methods = [*results.methods, results.methods[-1].model_copy(update={"name": "entropy"})]
    text = whole_page(
        results.model_copy(update={"adaptive": [*results.adaptive, *renamed], "methods": methods}), []
    )
    assert "`softmax confidence` and `entropy` were not attacked: an attack aimed at them" in text
