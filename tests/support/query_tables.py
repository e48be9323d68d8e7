"""Tables of docs/probing.md on attacks by queries, as the reports have them.

``python -m tests.support.query_tables`` prints those of the reports that are there, with their markers.
"""

from evaluation.queries.counting import ALL
from evaluation.queries.results import QueryResults
from evaluation.report.markdown import MISSING, percent_interval, plain, table
from tests.support.pages import ROOT

HEAD = ("what the attacker meets", "campaigns", "evade", "seen after, median")


def reported() -> list[str]:
    """Return the names of the reports that there are."""
    return sorted(path.parent.name for path in ROOT.glob("reports/queries-*/results.json"))


def query_rows(name: str) -> list[list[str]]:
    """Return the rows of a report's table: a scenario, with all of its attacks together."""
    results = QueryResults.model_validate_json((ROOT / f"reports/{name}/results.json").read_bytes())
    return [
        [
            cell.scenario,
            f"{cell.images:,}",
            percent_interval(cell.evaded),
            MISSING if cell.seen is None else plain(cell.seen_median),
        ]
        for cell in results.cells
        if cell.attack == ALL
    ]


def _print() -> None:
    for name in reported():
        print(f"<!-- {name} -->")
        print(table(list(HEAD), query_rows(name)), end="\n\n")


if __name__ == "__main__":
    _print()
