"""Detection over false alarms, a panel a kind, every detector."""

from itertools import cycle
from typing import TYPE_CHECKING

from evaluation.experiment.records.results import RocCurve
from evaluation.report.cells import Cells
from evaluation.report.pictures.canvas import (
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    label_outer,
    legend,
    panels,
    plain_numbers,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LEAST = 0.1
"""Per cent of false alarms at the left edge."""

_FAMILIES: dict[str, tuple[tuple[str, ...], tuple[str, ...], float]] = {
    "ours": ((BLUE, VERMILION, GREEN, PURPLE), ("-",), 2.0),
    "free": (("#000000", "#444444", "#777777"), ("-", ":", "-."), 1.2),
    "clean": (("#7fb3d5", "#eda66b", "#6cc3a2", "#d79bbb", "#aaaaaa"), ("-", "-."), 1.1),
    "attacks": ((ORANGE, SKY, "#b8860b", "#8080ff"), ("--",), 1.3),
}
"""Colours, dashes and width of each family, those on top first."""


def roc_plot(cells: Cells) -> "Figure | None":
    """Draw the picture; return None without curves."""
    curves = {(curve.method, curve.kind): curve for curve in cells.results.curves}
    kinds = cells.in_order(cells.results.curves)
    if not kinds:
        return None
    figure, axes = panels(len(kinds), height=2.0)
    looks = _looks(cells)
    for panel, kind in zip(axes, kinds, strict=True):
        for order, (name, (colour, dash, width)) in enumerate(looks.items()):
            curve = curves.get((name, kind))
            if curve is not None:
                alarms, detected = _drawn(curve)
                panel.plot(
                    alarms,
                    detected,
                    linestyle=dash,
                    color=colour,
                    linewidth=width,
                    label=name,
                    zorder=100 - order,
                )
        panel.axvline(5, color="#bbbbbb", linewidth=0.8, linestyle=":")
        panel.axvline(1, color="#bbbbbb", linewidth=0.8, linestyle=":")
        panel.set_xscale("log")
        plain_numbers(panel.xaxis)
        panel.set_xlim(_LEAST, 100)
        panel.set_ylim(0, 102)
        panel.set_title(kind)
    label_outer(figure, "false alarms, % (dotted: 1 and 5)", "detected, %")
    legend(figure, axes)
    return figure


def _drawn(curve: RocCurve) -> tuple[list[float], list[float]]:
    """Return the curve in per cent from the left edge on.

    At the edge, it is what fewer false alarms already detect.
    """
    points = [(100 * a, 100 * d) for a, d in zip(curve.false_alarms, curve.detected, strict=True)]
    before = max((detected for alarms, detected in points if alarms <= _LEAST), default=0.0)
    shown = [(_LEAST, before), *(point for point in points if point[0] > _LEAST)]
    return [alarms for alarms, _ in shown], [detected for _, detected in shown]


def _looks(cells: Cells) -> dict[str, tuple[str, str, float]]:
    drawn = {curve.method for curve in cells.results.curves}
    looks: dict[str, tuple[str, str, float]] = {}
    for family, (colours, dashes, width) in _FAMILIES.items():
        names = [m.name for m in cells.results.methods if m.family == family and m.name in drawn]
        turns = [dash for dash in dashes for _ in colours] if family == "clean" else list(dashes)
        for name, colour, dash in zip(names, cycle(colours), cycle(turns), strict=False):
            looks[name] = colour, dash, width
    return looks
