"""Picture of the cost: one panel a sweep."""

from collections.abc import Mapping

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter

from benchmarks.interleave import Timing
from benchmarks.sweep import Point, Sweep

_HEADROOM = 8
"""Factor by which the axis goes on above the curves, so that the legend hides none."""
_COLOURS = ("#2a7f62", "#8fc3ae", "#c8453b", "#e3a19c")


def draw(sweeps: list[Sweep], timings: Mapping[Point, Timing]) -> Figure:
    """Draw milliseconds over what varies, both axes logarithmic."""
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(3.6 * len(sweeps), 3.4), layout="constrained")
        for axes, sweep in zip(figure.subplots(1, len(sweeps), squeeze=False)[0], sweeps, strict=True):
            for name, colour in zip(sweep.curves, _COLOURS, strict=False):
                axes.plot(*sweep.curve(name, timings), "o-", color=colour, markersize=3, label=name)
            for axis, scale in ((axes.xaxis, axes.set_xscale), (axes.yaxis, axes.set_yscale)):
                scale("log")
                axis.set_major_formatter(FormatStrFormatter("%g"))
            axes.set_title(sweep.title, loc="left", fontsize=9)
            axes.set_xlabel(sweep.axis)
            axes.set_ylabel("milliseconds")
            axes.legend(frameon=False, loc="upper left")
            axes.set_ylim(top=_HEADROOM * axes.get_ylim()[1])
    return figure
