"""Robust accuracy over the size of the change.

A panel stands for a detector, a colour for what the attacker knows.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from evaluation.experiment.records.results import AdaptiveCell
from evaluation.report.cells import Cells, unique
from evaluation.report.pictures.canvas import GREY, label_outer, legend, panels, styles
from evaluation.report.tables.robustness_tables import WORST_CASE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def adaptive_plot(cells: Cells) -> "Figure | None":
    """Draw the picture; return None without adaptive attacks."""
    found = cells.results.adaptive
    detectors = unique(cell.detector for cell in found)
    if not detectors:
        return None
    looks = styles(unique(cell.knowledge for cell in found))
    figure, axes = panels(len(detectors), height=2.6, across=3)
    for panel, detector in zip(axes, detectors, strict=True):
        of_detector = [cell for cell in found if cell.detector == detector]
        for knowledge, (colour, marker) in looks.items():
            known = [cell for cell in of_detector if cell.knowledge == knowledge]
            worst = [cell for cell in known if cell.attack == WORST_CASE]
            if worst:
                _line(panel, worst, colour, marker, worst=True)
            for attack in unique(cell.attack for cell in known if cell.attack != WORST_CASE):
                single = [cell for cell in known if cell.attack == attack]
                _line(panel, single, colour, marker, worst=False)
        for knowledge in looks:
            _unguarded(panel, [c for c in of_detector if (c.knowledge, c.attack) == (knowledge, WORST_CASE)])
        panel.set_ylim(-2, 102)
        panel.set_xticks(unique(sorted(cell.epsilon for cell in found)))
        panel.margins(x=0.08)
        panel.grid()
        panel.set_title(detector)
    label_outer(
        figure,
        "ε, largest change of a pixel (0 to 1); a colour for what the attacker knows",
        "labelled rightly or rejected, %",
    )
    legend(figure, axes)
    return figure


def _line(panel: "Axes", cells: Sequence[AdaptiveCell], colour: str, marker: str, *, worst: bool) -> None:
    cells = sorted(cells, key=lambda cell: cell.epsilon)
    shares = [cell.robust_accuracy for cell in cells]
    values = [100 * share.value for share in shares]
    sizes = [cell.epsilon for cell in cells]
    label = f"{cells[0].knowledge}: {'worst case' if worst else 'each attack'}"
    if worst:
        low, high = [100 * share.low for share in shares], [100 * share.high for share in shares]
        panel.plot(sizes, values, color=colour, marker=marker, markersize=5, linewidth=2, label=label)
        panel.vlines(sizes, low, high, color=colour, linewidth=1.2)
    else:
        panel.plot(
            sizes, values, color=colour, marker=marker, markersize=2.5, linewidth=0.8, alpha=0.5, label=label
        )


def _unguarded(panel: "Axes", worst: Sequence[AdaptiveCell]) -> None:
    cells = sorted(worst, key=lambda cell: cell.epsilon)
    values = [100 * (1 - cell.success.value) for cell in cells]
    sizes = [cell.epsilon for cell in cells]
    panel.plot(sizes, values, ":", color=GREY, linewidth=1.2, label="no guard: worst case")
