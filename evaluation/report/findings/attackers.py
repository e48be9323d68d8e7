"""Findings: success of attackers that know the guard against the default policy."""

from evaluation.experiment.records.results import AdaptiveCell
from evaluation.report.cells import Cells, setting_name, unique
from evaluation.report.markdown import code, link, percent, percent_interval
from evaluation.report.tables.robustness_tables import WORST, WORST_CASE, weak

_KNOWN = "method"
_KNOWLEDGE = {
    "none": "Who knows the classifier alone",
    "method": "Who knows the method",
    "store": "Who holds the very mutants",
}


def bad_case(cells: Cells) -> str:
    """Return one sentence on the attacker that knows the method; nothing without such an attack."""
    cell = _telling(cells).get(_KNOWN)
    if cell is None:
        return ""
    name = code(setting_name(cells.default or ("", "")))
    if weak(cell):
        return (
            f"nothing is shown about {name}: even without a guard they fool the classifier on only "
            f"{percent(cell.success.value)} of the images at ε {cell.epsilon:.3g}, the largest tried. {link(WORST)}"
        )
    return (
        f"with {name}, {percent(cell.robust_accuracy.value)} of the images are still labelled rightly or rejected at "
        f"ε {cell.epsilon:.3g}; without a guard {percent(1 - cell.success.value)}. {link(WORST)}"
    )


def knowledges(cells: Cells) -> list[str]:
    """Return a sentence a knowledge, on the default policy."""
    return [_sentence(knowledge, cell) for knowledge, cell in _telling(cells).items()]


def _telling(cells: Cells) -> dict[str, AdaptiveCell]:
    """Return, by knowledge, the worst case at the largest size where the attacks succeed.

    It is that at the largest size if they succeed nowhere.
    """
    name = None if cells.default is None else setting_name(cells.default)
    worst = [cell for cell in cells.results.adaptive if (cell.attack, cell.detector) == (WORST_CASE, name)]
    return {
        knowledge: max(
            (cell for cell in worst if cell.knowledge == knowledge),
            key=lambda cell: (not weak(cell), cell.epsilon),
        )
        for knowledge in unique(cell.knowledge for cell in worst)
    }


def _sentence(knowledge: str, cell: AdaptiveCell) -> str:
    who = _KNOWLEDGE.get(knowledge, f"Who knows {knowledge}")
    if weak(cell):
        return (
            f"{who} fools the unguarded classifier on only {percent(cell.success.value)} of the images at "
            f"ε {cell.epsilon:.3g}, too few to prove anything."
        )
    alarms = (
        "" if cell.detected is None else f", {percent(cell.detected.value)} of what fools it raises an alarm"
    )
    return (
        f"{who} leaves {percent_interval(cell.robust_accuracy)} robust accuracy at ε {cell.epsilon:.3g} "
        f"({percent(1 - cell.success.value)} without a guard{alarms})."
    )
