"""Findings: mutants that were trained again, in sentences."""

from evaluation.experiment.records.record import Interval
from evaluation.experiment.records.results import NORMAL
from evaluation.report.cells import Cells, setting_name, unique
from evaluation.report.markdown import code, link, listed, percent, plain, plural
from evaluation.report.tables.trained_tables import EARLY, PAIRED, SUGGESTED, TARGETS

_POLICY = "calibrated"


def trained(cells: Cells) -> list[str]:
    """Return sentences on targets, other detectors, leaving early and suggested labels."""
    return [*_targets(cells), *_paired(cells), *_early(cells), *_suggestions(cells)]


def _targets(cells: Cells) -> list[str]:
    judged = [cell for cell in cells.results.targets if cell.met is not None]
    if not judged:
        return []
    missed = [f"{cell.figure} ({cell.kind})" for cell in judged if not cell.met]
    said = f"; missed: {listed(missed)}" if missed else ""
    met = len(judged) - len(missed)
    return [f"**Asked for:** {met:,} of {plural(len(judged), 'figure')} met{said}. {link(TARGETS)}"]


def _paired(cells: Cells) -> list[str]:
    lines = []
    for method, other in unique((cell.method, cell.other) for cell in cells.results.paired):
        found = [cell for cell in cells.results.paired if (cell.method, cell.other) == (method, other)]
        differences = {
            "5 %": {cell.kind: cell.detected_5 for cell in found},
            "1 %": {cell.kind: cell.detected_1 for cell in found},
        }
        told = [f"at {rate} false alarms {_compared(kinds)}" for rate, kinds in differences.items()]
        lines.append(f"**{method} against {other}**, image by image: {'; '.join(told)}. {link(PAIRED)}")
    return lines


def _compared(differences: dict[str, Interval]) -> str:
    ahead = sum(difference.low > 0 for difference in differences.values())
    behind = [
        f"{kind} ({100 * difference.value:+.1f} points)"
        for kind, difference in differences.items()
        if difference.high < 0
    ]
    return (
        f"ahead beyond chance on {ahead:,} of {plural(len(differences), 'kind')}, "
        f"behind on {listed(behind) if behind else 'none'}"
    )


def _early(cells: Cells) -> list[str]:
    found = [cell for cell in cells.results.early if cell.policy == _POLICY]
    lines = []
    for operator in unique(cell.operator for cell in found):
        mine = {cell.kind: cell for cell in found if cell.operator == operator}
        if NORMAL not in mine:
            continue
        lost = {kind: cell.lost.value for kind, cell in mine.items() if kind != NORMAL}
        worst = max(lost, key=lost.__getitem__, default=None)
        said = (
            ""
            if worst is None
            else f"; what it clears too early is at most {percent(lost[worst])} of a kind ({worst})"
        )
        lines.append(
            f"**Leaving early:** {code(setting_name((_POLICY, operator)))} takes "
            f"{plain(mine[NORMAL].mutants.value)} mutants on a normal image{said}. {link(EARLY)}"
        )
    return lines


def _suggestions(cells: Cells) -> list[str]:
    right = {
        cell.kind: cell.right.value
        for cell in cells.results.suggestions
        if cell.right and cell.kind != NORMAL
    }
    if not right:
        return []
    most, least = max(right, key=right.__getitem__), min(right, key=right.__getitem__)
    return [
        f"**Suggested labels** on alarms are right from {percent(right[least])} ({least}) to {percent(right[most])} "
        f"({most}). {link(SUGGESTED)}"
    ]
