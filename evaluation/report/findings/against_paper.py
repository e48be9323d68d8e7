"""Findings: number of cells that agree with the paper's, detection accuracy, server's answers."""

from evaluation.experiment.records.results import NORMAL
from evaluation.report.cells import Cells, mean
from evaluation.report.comparison import Order, compare_with_paper
from evaluation.report.markdown import code, link, percent, plural
from evaluation.report.tables.paper_tables import AUROCS, DETECTION, DIFFERENCES, RATES
from evaluation.report.tables.setup import AGREEMENT, FOLDING


def against_paper(cells: Cells) -> list[str]:
    """Return sentences on the paper's cells and on the server."""
    return [*_cells(cells), *_algorithm(cells), *_differences(cells), *_server(cells)]


def _cells(cells: Cells) -> list[str]:
    results = cells.results
    rates = [compare_with_paper(c.mean, c.paper) for c in results.label_change_rates if c.paper is not None]
    areas = [compare_with_paper(c.auroc, c.paper) for c in results.aurocs if c.paper is not None]
    counts = [*_counts("mean label change rate", rates, RATES), *_counts("AUROC", areas, AUROCS)]
    return [f"Beside the paper's, {'; '.join(counts)}."] if counts else []


def _counts(noun: str, found: list[Order], anchor: str) -> list[str]:
    if not found:
        return []
    words: dict[Order, str] = {
        "level": "within the intervals",
        "above": "of ours above",
        "below": "of ours below",
    }
    parts = [f"{found.count(order):,} {word}" for order, word in words.items() if order in found]
    return [f"{plural(len(found), noun)}: {', '.join(parts)} ({link(anchor)})"]


def _algorithm(cells: Cells) -> list[str]:
    """Return Algorithm 1 at ρ = 1 beside the paper's averages."""
    at_one = {(cell.operator, cell.kind): cell for cell in cells.results.detection if cell.rho == 1}
    entries = []
    for paper in cells.results.paper_detection:
        found = [at_one.get((paper.operator, kind)) for kind in cells.averaged(paper)]
        right = mean(None if cell is None else cell.adversarial.value for cell in found)
        normal = at_one.get((paper.operator, NORMAL))
        if normal is None or right is None:
            continue
        entries.append(
            f"{code(paper.operator)} {percent(right)} and {percent(normal.no_alarm.value)} "
            f"({percent(paper.accuracy)} and {percent(paper.normal)})"
        )
    if not entries:
        return []
    return [
        "Algorithm 1 at ρ = 1: alarms on the paper's suspicious kinds, and normal images without one "
        "(its averages in brackets): "
        f"{'; '.join(entries)}. {link(DETECTION)}"
    ]


def _differences(cells: Cells) -> list[str]:
    results = cells.results
    lines = []
    if results.differences:
        unexplained = sum(cell.explanation is None for cell in results.differences)
        known = f"{unexplained:,} without a known reason" if unexplained else "each with its reason"
        count = plural(len(results.differences), "difference")
        lines.append(f"{count} from the paper beyond the intervals, {known}. {link(DIFFERENCES)}")
    if results.folded:
        lines.append(
            f"Batch normalisation was folded, so that a rate is not quite the paper's mutation. {link(FOLDING, 'why')}"
        )
    return lines


def _server(cells: Cells) -> list[str]:
    posted = sum(cell.posted for cell in cells.results.agreement)
    if not posted:
        return []
    same = sum(cell.same for cell in cells.results.agreement)
    return [
        f"Of {plural(posted, 'answer')} of the real server over HTTP, {same:,} are the evaluation's. {link(AGREEMENT)}"
    ]
