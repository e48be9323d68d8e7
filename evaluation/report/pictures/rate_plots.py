"""Label change rates: histograms, ours beside the paper's, and against softmax confidence."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from evaluation.experiment.records.results import NORMAL, RateCell, Scatter
from evaluation.report.cells import Cells
from evaluation.report.pictures.canvas import BLUE, GREY, VERMILION, label_outer, legend, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LEAST_DOUBT = 1e-7


def histogram_plot(cells: Cells, operator: str) -> "Figure | None":
    """Draw normal images against each kind; return None where the operator has no histograms."""
    found = {cell.kind: cell.shares for cell in cells.results.histograms if cell.operator == operator}
    kinds = [kind for kind in cells.suspicious if kind in found]
    if NORMAL not in found or not kinds:
        return None
    figure, axes = panels(len(kinds), height=1.6)
    for panel, kind in zip(axes, kinds, strict=True):
        for name, colour, label in ((NORMAL, GREY, NORMAL), (kind, VERMILION, "the panel's kind")):
            shares = 100 * np.array(found[name])
            edges = np.linspace(0, 100, len(shares) + 1)
            panel.stairs(shares, edges, fill=True, color=colour, alpha=0.35)
            panel.stairs(shares, edges, color=colour, linewidth=1.2, label=label)
        panel.set_yscale("function", functions=(_root, np.square))
        panel.set_ylim(0, 100)
        panel.set_yticks([1, 5, 20, 50, 100])
        panel.set_xlim(0, 100)
        panel.set_xticks([20, 40, 60, 80])
        panel.set_title(kind)
    label_outer(figure, f"label change rate under {operator}, %", "images, % (square-root scale)")
    legend(figure, axes)
    return figure


def _root(
    values: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]",
) -> "np.ndarray[tuple[int, ...], np.dtype[np.float64]]":
    return np.sqrt(np.maximum(values, 0))


def paper_rates_plot(cells: Cells) -> "Figure | None":
    """Draw a panel an operator and rate, a line a kind.

    Returns:
        The picture, or None where no cell has a counterpart in the paper.
    """
    found = [cell for cell in cells.results.label_change_rates if cell.paper is not None]
    groups: dict[tuple[str, float], dict[str, RateCell]] = {}
    for cell in found:
        groups.setdefault((cell.operator, cell.rate), {})[cell.kind] = cell
    if not groups:
        return None
    kinds = cells.in_order(found)
    across = min(4, max(2, len({rate for _, rate in groups})))
    figure, axes = panels(len(groups), height=0.2 * len(kinds) + 0.6, across=across, share_x=False)
    for panel, ((operator, rate), of_kind) in zip(axes, groups.items(), strict=True):
        for row, kind in enumerate(kinds):
            if kind in of_kind:
                _pair(panel, row, of_kind[kind])
        panel.set_ylim(len(kinds) - 0.4, -0.6)
        panel.set_yticks(range(len(kinds)), kinds)
        panel.set_xlim(left=0)
        panel.grid(axis="both")
        panel.set_title(f"{operator}, γ {rate:g}")
    figure.supxlabel("mean label change rate, % (99 % intervals)", fontsize=9)
    legend(figure, axes)
    return figure


def _pair(panel: "Axes", row: int, cell: RateCell) -> None:
    if cell.paper is None:
        return
    half = cell.paper.half_width
    panel.errorbar(
        100 * cell.paper.value,
        row + 0.17,
        xerr=None if half is None else 100 * half,
        fmt="D",
        markersize=4,
        color=VERMILION,
        markerfacecolor="white",
        label="the paper's",
    )
    ours = cell.mean
    around = [[100 * (ours.value - ours.low)], [100 * (ours.high - ours.value)]]
    panel.errorbar(
        100 * ours.value,
        row - 0.17,
        xerr=np.maximum(around, 0),
        fmt="o",
        markersize=4,
        color=BLUE,
        label="ours",
    )


def confidence_plot(cells: Cells) -> "Figure | None":
    """Draw the classifier's confidence against the label change rate.

    Returns:
        The picture, or None without such images.
    """
    found = {scatter.kind: scatter for scatter in cells.results.scatter}
    kinds = [kind for kind in cells.suspicious if kind in found]
    if not kinds:
        return None
    figure, axes = panels(len(kinds), height=1.9)
    for panel, kind in zip(axes, kinds, strict=True):
        if NORMAL in found:
            _dots(panel, found[NORMAL], GREY, NORMAL)
        _dots(panel, found[kind], VERMILION, "the panel's kind")
        panel.set_yscale("log")
        panel.set_ylim(_LEAST_DOUBT / 1.5, 1.5)
        panel.set_yticks([1e-6, 1e-4, 1e-2, 1])
        panel.set_xlim(-2, 102)
        panel.grid()
        panel.set_title(kind)
    label_outer(figure, "label change rate, %", "1 − softmax confidence")
    legend(figure, axes, markerscale=3)
    return figure


def _dots(panel: "Axes", scatter: Scatter, colour: str, label: str) -> None:
    rates: Sequence[float] = [100 * rate for rate in scatter.label_change_rate]
    doubt = [max(_LEAST_DOUBT, 1 - confidence) for confidence in scatter.confidence]
    panel.plot(rates, doubt, ".", color=colour, markersize=4, alpha=0.45, markeredgewidth=0, label=label)
