"""Picture of latency against utilisation: one panel a store."""

from collections.abc import Mapping

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter

from benchmarks.scale.model.choice import CHOICES
from benchmarks.scale.sizing import BURST, Sizes

_COLOURS = ("#2a7f62", "#8fc3ae")
_BURST_COLOUR, _MEDIAN_COLOUR, _OBJECTIVE_COLOUR = "#c8453b", "#b0b0b0", "#444444"


def draw(sizes: Mapping[str, Sizes], p99_ms: float) -> Figure:
    """Draw simulated latencies in milliseconds, the axis logarithmic, and the objective.

    Args:
        sizes: simulated groups by the name of the store.
        p99_ms: the objective.
    """
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(3.6 * len(sizes), 3.4), layout="constrained")
        for axes, (name, found) in zip(
            figure.subplots(1, len(sizes), squeeze=False)[0], sizes.items(), strict=True
        ):
            x = [100 * load.utilisation for load in found.loads]
            for balance, colour in zip(CHOICES, _COLOURS, strict=True):
                y = [1000 * load.latencies[balance].p99 for load in found.loads]
                axes.plot(x, y, "o-", color=colour, markersize=3, label=f"p99, {balance}")
            bursts = [1000 * load.bursts.p99 for load in found.loads]
            axes.plot(x, bursts, "o-", color=_BURST_COLOUR, markersize=3, label=f"p99, bursts of {BURST}")
            medians = [1000 * load.latencies[next(iter(CHOICES))].p50 for load in found.loads]
            axes.plot(x, medians, "-", color=_MEDIAN_COLOUR, label="median")
            axes.axhline(p99_ms, color=_OBJECTIVE_COLOUR, linewidth=0.8, linestyle=":")
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter(FormatStrFormatter("%g"))
            axes.set_title(name, loc="left", fontsize=9)
            axes.set_xlabel("utilisation, %")
            axes.set_ylabel("milliseconds")
            axes.legend(frameon=False, loc="upper left")
    return figure
