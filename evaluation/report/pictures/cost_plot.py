"""Detection at 5 % false alarms over forward passes: a point a detector."""

from math import log
from typing import TYPE_CHECKING, NamedTuple

from evaluation.experiment.records.results import Method
from evaluation.report.cells import Cells
from evaluation.report.pictures.canvas import BLUE, GREY, VERMILION, WIDTH, plain_numbers

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FAMILIES = {
    "ours": (BLUE, "o", "ours"),
    "free": ("#000000", "s", "free"),
    "clean": (GREY, "^", "needs clean data or more passes"),
    "attacks": (VERMILION, "D", "trained on attacks"),
}
_GAP = 0.021
"""Gap between labels, as a share of the width of the axes."""
_BESIDE = 1.05
_FAN = 1.07
"""Height above the axes at which the labels begin; the axes' height is 1."""


class _Point(NamedTuple):
    method: Method
    passes: float
    mean: float
    least: float
    most: float


def cost_plot(cells: Cells) -> "Figure | None":
    """Draw the picture; return None without detectors.

    Points are the mean over the kinds; whiskers go from the worst kind to the best.
    """
    points = _points(cells)
    if not points:
        return None
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, 6.2), layout="constrained")
    axes = figure.subplots()
    for point in points:
        colour, marker, label = _look(point.method)
        axes.plot([point.passes] * 2, [point.least, point.most], color=colour, linewidth=0.8, alpha=0.5)
        axes.plot(point.passes, point.mean, marker, color=colour, markersize=6, label=label, linestyle="none")
    axes.set_xscale("log")
    plain_numbers(axes.xaxis, (1.0, 2.0, 5.0))
    axes.set_xlim(0.85, 1.2 * max(point.passes for point in points))
    axes.set_ylim(-2, 102)
    axes.grid()
    axes.set_xlabel("forward passes, a normal image (those of the same number stand beside each other)")
    axes.set_ylabel(
        "detected at 5 % false alarms (policies: at their own), %\nmean over kinds, least to most"
    )
    _label(axes, points)
    figure.legend(loc="outside lower center", ncols=len(_FAMILIES), handles=_handles(axes))
    return figure


def _handles(axes: "Axes") -> list["Artist"]:
    handles, names = axes.get_legend_handles_labels()
    return list(dict(zip(names, handles, strict=True)).values())


def _label(axes: "Axes", points: list[_Point]) -> None:
    """Write names above the axes, in the order of the points, so that their lines never cross."""
    low, high = (log(edge) for edge in axes.get_xlim())
    places = [(log(point.passes) - low) / (high - low) for point in points]
    for point, place, spread in zip(points, places, _spread(places), strict=True):
        top = (point.most + 2) / 104
        axes.plot(
            [place, place, spread],
            [top, 1, _FAN],
            color="#cccccc",
            linewidth=0.7,
            transform=axes.transAxes,
            clip_on=False,
            zorder=1,
        )
        colour = _look(point.method)[0]
        axes.text(
            spread,
            _FAN + 0.01,
            point.method.name,
            rotation=90,
            ha="center",
            color=colour,
            transform=axes.transAxes,
        )


def _look(method: Method) -> tuple[str, str, str]:
    return _FAMILIES.get(method.family, _FAMILIES["clean"])


def _points(cells: Cells) -> list[_Point]:
    found = []
    for name, method in cells.methods.items():
        shares = [100 * figure.value for kind in cells.suspicious if (figure := cells.detected(name, kind))]
        if shares:
            mean = sum(shares) / len(shares)
            found.append(_Point(method, max(method.forward_passes, 1.0), mean, min(shares), max(shares)))
    return _beside(sorted(found, key=lambda point: (point.passes, -point.mean)))


def _beside(points: list[_Point]) -> list[_Point]:
    """Move points of about the same cost apart, so that their whiskers can be seen."""
    placed: list[_Point] = []
    for point in points:
        least = placed[-1].passes * _BESIDE if placed else point.passes
        placed.append(point._replace(passes=max(point.passes, least)))
    return placed


def _spread(places: list[float]) -> list[float]:
    """Move ascending places from 0 to 1 as little as gives each label its own room."""
    gap = min(_GAP, 1 / max(1, len(places) - 1))
    spread: list[float] = []
    for place in places:
        spread.append(max(place, spread[-1] + gap) if spread else place)
    highest = 1.0
    for index in reversed(range(len(spread))):
        spread[index] = min(spread[index], highest)
        highest = spread[index] - gap
    return spread
