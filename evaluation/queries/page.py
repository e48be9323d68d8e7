"""Report of the attacks by queries: a page and ``results.json``, of which the page is made."""

from evaluation.queries.counting import ALL
from evaluation.queries.results import QueryCell, QueryResults
from evaluation.report.cells import unique
from evaluation.report.markdown import (
    MISSING,
    bullets,
    change,
    code,
    percent,
    percent_interval,
    plain,
    section,
    table,
)
from evaluation.report.page import Page


def markdown(results: QueryResults) -> str:
    """Return the page."""
    parts = [
        f"# {results.title}",
        f"Store {code(results.store)}. The attacker has neither weights nor store: it sends 8-bit images and reads "
        f"answers. Images are of {code(results.data)}, one campaign each, all labelled rightly before. A campaign "
        "*evades* with an image near enough to the source that the classifier labels wrongly and that was answered so "
        "without an alarm; it ends there, when its queries are spent, when the attack gives up, or after "
        f"{results.patience:,} refusals in a row. Memory: {results.memory}; each campaign meets an empty one. "
        "Intervals are exact (Clopper–Pearson, 95 %).",
        _success(results),
        _seen(results),
        _misled(results),
        _one_by_one(results),
        _http(results),
        _setup(results),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _success(results: QueryResults) -> str:
    scenarios = unique(cell.scenario for cell in results.cells)
    rows = []
    names = unique(cell.attack for cell in results.cells)
    for attack in sorted(names, key=lambda name: name == ALL):
        by_scenario = {cell.scenario: cell for cell in results.cells if cell.attack == attack}
        one = next(iter(by_scenario.values()))
        rows.append(
            [
                attack,
                MISSING if one.norm is None or one.size is None else change(one.norm, one.size),
                *(_evaded(by_scenario.get(scenario)) for scenario in scenarios),
            ]
        )
    return section(
        "Campaigns that evade",
        "success",
        bullets(f"{code(name)}: {words}" for name, words in results.scenarios.items()),
        table(["Attack", "Largest change", *scenarios], rows, text=2),
    )


def _evaded(cell: QueryCell | None) -> str:
    return MISSING if cell is None else percent_interval(cell.evaded)


def _seen(results: QueryResults) -> str:
    rows = [
        [
            cell.scenario,
            cell.attack,
            f"{cell.images:,}",
            plain(cell.seen_median),
            plain(cell.seen_95),
            percent_interval(cell.seen),
            percent_interval(cell.unseen),
        ]
        for cell in results.cells
        if cell.seen is not None
    ]
    if not rows:
        return ""
    return section(
        "Queries until a campaign is seen",
        "seen",
        "Campaigns that are never seen count as infinitely long, so that – stands where too many are. *Unseen*: "
        "share that evades before it is seen.",
        table(["Scenario", "Attack", "Campaigns", "Median", "95 %", "Seen", "Unseen"], rows, text=2),
    )


def _misled(results: QueryResults) -> str:
    rows = [
        [cell.scenario, cell.attack, percent_interval(cell.misled)]
        for cell in results.cells
        if cell.misled.value > 0
    ]
    if not rows:
        return ""
    return section(
        "Wrong labels by the policy itself",
        "misled",
        "Share of campaigns in which an image near enough, which the classifier labels rightly, was answered with a "
        "wrong label without an alarm: that of the campaign's first query.",
        table(["Scenario", "Attack", "Campaigns"], rows, text=2),
        level=3,
    )


def _one_by_one(results: QueryResults) -> str:
    marks = sorted({mark for cell in results.cells for mark in cell.after})
    rows = [
        [
            cell.scenario,
            cell.attack,
            f"{cell.images:,}",
            f"{cell.budget:,}",
            *(percent(cell.after.get(mark)) for mark in marks),
            percent(cell.evaded.value),
            plain(cell.evaded_queries),
            plain(cell.queries),
            plain(cell.refusals),
            ", ".join(f"{name} {number}" for name, number in cell.ends.items()),
        ]
        for cell in results.cells
    ]
    head = ["Scenario", "Attack", "Campaigns", "Budget", *(f"Evade by {mark:,}" for mark in marks), "In all"]
    head += ["Queries to evade, median", "Queries, mean", "Refused, mean", "Ends"]
    return section(
        "One by one",
        "attacks",
        bullets(f"{code(name)}: {words}" for name, words in results.attacks.items()),
        table(head, rows, text=2),
        level=3,
    )


def _http(results: QueryResults) -> str:
    rows = [[one.scenario, one.attack, f"{one.campaigns:,}", f"{one.alike:,}"] for one in results.http]
    if not rows:
        return ""
    return section(
        "Over HTTP",
        "http",
        "The same campaigns against the real server. *Alike*: the same number of queries, seen at the same one, with "
        "the same end.",
        table(["Scenario", "Attack", "Campaigns", "Alike"], rows, text=2),
        level=3,
    )


def _setup(results: QueryResults) -> str:
    lines = [f"{name}: {taken / 60:.1f} minutes" for name, taken in results.environment.seconds.items()]
    return section("Cost", "cost", bullets([f"{results.environment.hardware}, one thread", *lines]), level=3)


PAGE = Page(QueryResults, markdown)
