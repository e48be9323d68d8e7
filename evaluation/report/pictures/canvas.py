"""Parts that all pictures share: colours, a grid of panels, one legend.

Pictures are written as PNG files that are the same each time.
"""

from collections.abc import Sequence
from io import BytesIO
from itertools import cycle
from math import ceil
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which colour-blind people tell apart.
BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, "#000000")
DASHES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "P")
GREY = "#888888"
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "font.family": "DejaVu Sans",
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 9,
}
WIDTH = 9.6
_DPI = 150


def panels(
    count: int, *, height: float, across: int = 4, share_x: bool = True
) -> tuple["Figure", list["Axes"]]:
    """Make a figure of the page's width with a number of panels.

    Only outer axes are labelled where they are shared.
    """
    from matplotlib.figure import Figure

    columns = min(count, across)
    rows = ceil(count / columns)
    figure = Figure(figsize=(WIDTH * (columns / across) ** 0.5, height * rows + 0.3), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=share_x, sharey=True)
    axes: list[Axes] = list(grid.flat)
    for place, spare in enumerate(axes[count:], start=count):
        spare.remove()
        if share_x:
            axes[place - columns].tick_params(labelbottom=True)
    return figure, axes[:count]


def label_outer(figure: "Figure", x: str, y: str) -> None:
    """Write one label for all panels' axes."""
    figure.supxlabel(x, fontsize=9)
    figure.supylabel(y, fontsize=9)


def styles(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return a colour and a marker for each name."""
    return dict(zip(names, zip(cycle(COLOURS), cycle(MARKERS), strict=False), strict=False))


def plain_numbers(axis: "Axis", subs: tuple[float, ...] = (1.0,)) -> None:
    """Label a logarithmic axis with 0.1, 1, 10 rather than powers."""
    from matplotlib.ticker import FormatStrFormatter, LogLocator, NullLocator

    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FormatStrFormatter("%g"))


def legend(figure: "Figure", axes: Sequence["Axes"], *, markerscale: float = 1.0) -> None:
    """Show every line once in a legend above the panels, where it hides nothing."""
    entries: dict[str, Artist] = {}
    for panel in axes:
        for handle, name in zip(*panel.get_legend_handles_labels(), strict=True):
            entries.setdefault(name, handle)
    if not entries:
        return
    inches = 0.65 + 0.075 * max(len(name) for name in entries)
    columns = max(1, min(len(entries), int(figure.get_figwidth() / inches)))
    rows = ceil(len(entries) / columns)
    figure.set_figheight(figure.get_figheight() + 0.2 * rows + 0.1)
    figure.legend(
        handles=list(entries.values()),
        labels=list(entries),
        loc="outside upper center",
        ncols=ceil(len(entries) / rows),
        handlelength=2.6,
        markerscale=markerscale,
    )


def png(figure: "Figure") -> bytes:
    """Return the picture as a file that does not depend on when or by what it was made."""
    content = BytesIO()
    figure.savefig(content, format="png", dpi=_DPI, metadata={"Software": None})
    return content.getvalue()
