"""Number of mutants of a verdict: a panel a policy, a line a kind."""

from typing import TYPE_CHECKING

import numpy as np

from evaluation.report.cells import Cells, unique
from evaluation.report.pictures.canvas import BLUE, VERMILION, legend, panels, plain_numbers

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def mutants_plot(cells: Cells) -> "Figure | None":
    """Draw the picture; return None where no policy's mutants were counted."""
    found = {(used.policy, used.kind): used.quantiles for used in cells.results.mutants_used}
    counted = unique(policy for policy, _ in found)
    policies = [policy for policy in counted if _varies(found, policy)]
    if not policies:
        return None
    kinds = cells.in_order(cells.results.mutants_used)
    most = max(_five(quantiles)[-1] for (policy, _), quantiles in found.items() if policy in policies)
    of_operator = len(policies) // max(1, len(cells.results.operators))
    across = of_operator if of_operator in {3, 4} else 4  # a row an operator, where that fills the width
    figure, axes = panels(len(policies), height=0.19 * len(kinds) + 0.5, across=across)
    for panel, policy in zip(axes, policies, strict=True):
        for row, kind in enumerate(kinds):
            if (policy, kind) not in found:
                continue
            low, quarter, middle, three, high = _five(found[policy, kind])
            panel.plot([low, high], [row, row], color=BLUE, linewidth=1, label="5 to 95 % of the images")
            panel.plot(
                [quarter, three],
                [row, row],
                color=BLUE,
                linewidth=5,
                alpha=0.45,
                solid_capstyle="butt",
                label="25 to 75 %",
            )
            panel.plot(middle, row, "o", color=VERMILION, markersize=4, label="median")
        panel.set_xscale("log")
        plain_numbers(panel.xaxis)
        panel.set_xlim(0.9, 1.2 * most)
        panel.set_ylim(len(kinds) - 0.4, -0.6)
        panel.set_yticks(range(len(kinds)), kinds)
        panel.grid()
        panel.set_title(policy)
    fixed = (
        " (policies that always take the same number are left out)" if len(policies) < len(counted) else ""
    )
    figure.supxlabel(f"mutants{fixed}", fontsize=9)
    legend(figure, axes)
    return figure


def _varies(found: dict[tuple[str, str], list[float]], policy: str) -> bool:
    return len({mutants for (of, _), quantiles in found.items() if of == policy for mutants in quantiles}) > 1


def _five(quantiles: list[float]) -> tuple[float, float, float, float, float]:
    """Return the quantiles 5, 25, 50, 75 and 95 %, none below 1.

    A logarithmic axis starts at 1.
    """
    places = np.linspace(0, 1, len(quantiles))
    low, quarter, middle, three, high = np.maximum(
        np.interp([0.05, 0.25, 0.5, 0.75, 0.95], places, quantiles), 1
    )
    return float(low), float(quarter), float(middle), float(three), float(high)
