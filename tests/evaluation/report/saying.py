"""Helpers that write the findings of changed results."""

from collections.abc import Callable

from evaluation.experiment.records.results import MethodCell, Results
from evaluation.report.cells import Cells
from evaluation.report.findings.page import findings
from tests.support.paper_cells import shares


def say(results: Results, **changes: object) -> str:
    """Return the findings of results with some fields replaced."""
    return findings(Cells(results.model_copy(update=changes)))


def detecting(results: Results, share: Callable[[str, str], float | None]) -> list[MethodCell]:
    """Return the cells, with the detection that ``share`` gives for a method and a kind, if any."""
    found = []
    for cell in results.cells:
        value = share(cell.method, cell.kind)
        found.append(cell if value is None else cell.model_copy(update={"detected_5": shares(value)}))
    return found


def sentence(text: str, start: str) -> str:
    """Return the sentence that starts with ``start``."""
    return next(line for line in text.splitlines() if line.startswith(f"* {start}"))
