"""Plots of a simulation: mutants used, operating characteristic, and results of other settings."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from io import BytesIO
from itertools import cycle
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mutant_guard.errors import GuardError
from mutant_store.calibrating.simulation_report import CLEAN, GridPoint, PolicyReport, Simulation

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which colour-blind people tell apart; dashes and markers tell lines apart
# in grey.
_BLUE, _VERMILION, _GREEN, _PURPLE, _ORANGE = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00"
_COLOURS = (_BLUE, _VERMILION, _GREEN, _PURPLE, _ORANGE, "#56B4E9", "#000000")
_DASHES = ("-", "--", "-.", ":")
_MARKERS = ("o", "s", "^", "D", "v", "P")
_STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
_WIDTH, _HEIGHT, _DPI = 3.2, 2.5, 160
_ACROSS = 3
# Factor by which axes go beyond the last mutant, so that what happens at it can be seen.
_MARGIN = 1.3
_TICKS = np.outer(10.0 ** np.arange(-1, 7), (1, 2, 5)).ravel()
# End of the characteristic's axis, as a multiple of the largest label change rate at which a policy
# has an upper hypothesis.
_BEYOND = 2.0


def check_output(folder: Path) -> None:
    """Make the folder of a report, and check that plots can be drawn, before any long work begins.

    Raises:
        GuardError: the folder cannot be made, or matplotlib is not installed.
    """
    if find_spec("matplotlib") is None:
        raise GuardError("plots need matplotlib: install mutant-guard[build], or leave out --out")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GuardError(f"--out {folder} is no folder ({error.strerror}); choose another") from error


def plots(simulation: Simulation) -> dict[str, bytes]:
    """Return the plots of a simulation as PNG files by name.

    ``mutants.png`` is always there. ``frontier.png`` is there only where other settings were tried
    and there are suspicious images, ``characteristic.png`` only where policies count label changes.
    Drawing needs matplotlib.
    """
    import matplotlib as mpl

    with mpl.rc_context(_STYLE):
        pictures = {"mutants.png": _mutants(simulation)}
        counting = {
            name: each for name, each in simulation.policies.items() if each.characteristic is not None
        }
        if counting:
            pictures["characteristic.png"] = _characteristic(counting)
        if simulation.grid is not None and simulation.grid.points and simulation.kinds:
            pictures["frontier.png"] = _frontier(simulation, simulation.grid.points)
        return {name: _png(figure) for name, figure in pictures.items()}


def _mutants(simulation: Simulation) -> "Figure":
    """Draw the share of images that are done after a number of mutants.

    Every policy has a panel, every set a line.
    """
    figure, panels = _panels(len(simulation.policies))
    for axes, (name, policy) in zip(panels, simulation.policies.items(), strict=True):
        count = len(policy.mutants_used)
        # Widths that differ, so that lines that coincide show beside each other.
        widths = np.linspace(1.2 + min(0.4 * count, 2), 1.2, count).tolist()
        lines = zip(policy.mutants_used.items(), cycle(_COLOURS), cycle(_DASHES), widths, strict=False)
        for (kind, used), colour, dash, width in lines:
            done = 100 * np.cumsum(used.probabilities)
            mutants = [used.mutants[0], *used.mutants, _MARGIN * policy.pool]
            shares = [0, *done, done[-1]]
            axes.step(
                mutants, shares, where="post", label=kind, color=colour, linestyle=dash, linewidth=width
            )
        axes.set_xscale("log")
        _plain_numbers(axes.xaxis)
        axes.set_xlim(1, _MARGIN * policy.pool)
        axes.set_ylim(0, 103)
        axes.set_title(f"{name}: mutants used", loc="left")
        axes.set_xlabel(f"mutants, of {policy.pool}")
        axes.set_ylabel("images done, %")
    _legend(figure, panels)
    return figure


def _characteristic(policies: Mapping[str, PolicyReport]) -> "Figure":
    """Draw the probability of an alarm and the expected mutants over the label change rate.

    Every policy has a column.
    """
    figure, panels = _panels(2 * len(policies), across=len(policies))
    highest = max(each.hypotheses.high / each.pool for each in policies.values() if each.hypotheses)
    end = min(100.0, 100 * _BEYOND * highest)
    for (name, policy), chance, cost in zip(
        policies.items(), panels[: len(policies)], panels[len(policies) :], strict=True
    ):
        curve = policy.characteristic
        if curve is None:
            continue
        rates = 100 * np.array(curve.rates)
        for axes in (chance, cost):
            _sides(axes, policy)
            axes.set_xlim(0, end)
            axes.set_xlabel("label changes under all mutants, %")
        chance.plot(rates, curve.adversarial, _VERMILION, label="P(adversarial)")
        if max(curve.undecided) > 0:
            chance.plot(rates, curve.undecided, _PURPLE, linestyle="--", label="P(undecided)")
        cost.plot(rates, curve.mutants, _BLUE, linestyle="-.", label="expected mutants")
        chance.set_ylim(0, 1.03)
        cost.set_yscale("log")
        _plain_numbers(cost.yaxis)
        cost.set_ylim(1, 1.1 * policy.pool)
        chance.set_title(f"{name}: verdict", loc="left")
        chance.set_ylabel("probability")
        cost.set_title(f"{name}: cost", loc="left")
        cost.set_ylabel("expected mutants")
    _legend(figure, panels)
    return figure


def _sides(axes: "Axes", policy: PolicyReport) -> None:
    if policy.hypotheses is not None:
        low, high = (100 * count / policy.pool for count in (policy.hypotheses.low, policy.hypotheses.high))
        axes.axvspan(low, high, color="#000000", alpha=0.1, linewidth=0, label="indifference region")
    if policy.threshold is not None:
        axes.axvline(100 * policy.threshold, color="#555555", linestyle=":", label="certified threshold")


def _frontier(simulation: Simulation, points: Sequence[GridPoint]) -> "Figure":
    """Draw detection over mutants on clean images: panels by kind, lines by false-alarm rate."""
    kinds = simulation.kinds
    detected = {
        kind: [100 * point.behaviour.outcomes[kind].adversarial.rate for point in points] for kind in kinds
    }
    shown: dict[str, list[float]] = {}
    if len(kinds) > 1:
        shown["mean of the kinds"] = [float(np.mean(rates)) for rates in zip(*detected.values(), strict=True)]
    shown |= {f"{kind}, {simulation.sets[kind].images} images": detected[kind] for kind in kinds}
    figure, panels = _panels(len(shown))
    settings = sorted({point.max_false_alarm for point in points})
    costs = [point.behaviour.outcomes[CLEAN].mean_mutants for point in points]
    limits = _TICKS[_TICKS < min(costs) / 1.1][-1], _TICKS[_TICKS > max(costs) * 1.1][0]
    for axes, (title, rates) in zip(panels, shown.items(), strict=True):
        drawn = list(zip(points, costs, rates, strict=True))
        for setting, colour, marker in zip(settings, cycle(_COLOURS), cycle(_MARKERS), strict=False):
            line = sorted((cost, rate) for point, cost, rate in drawn if point.max_false_alarm == setting)
            label = f"false alarms ≤ {100 * setting:g} %"
            axes.plot(*zip(*line, strict=True), color=colour, marker=marker, markersize=4, label=label)
        for point, cost, rate in drawn:
            if point.current:
                axes.plot(
                    cost,
                    rate,
                    "*",
                    color="none",
                    markeredgecolor="#000000",
                    markersize=15,
                    label="this store",
                )
        axes.set_xscale("log")
        _plain_numbers(axes.xaxis)
        axes.set_xlim(*limits)
        axes.margins(y=0.15)
        axes.set_title(title, loc="left")
        axes.set_xlabel("mean mutants, clean image")
        axes.set_ylabel("detected, %")
    _legend(figure, panels)
    return figure


def _panels(count: int, across: int | None = None) -> tuple["Figure", list["Axes"]]:
    from matplotlib.figure import Figure

    columns = across or min(count, _ACROSS)
    rows = ceil(count / columns)
    # Room for the legend below even a single panel.
    size = max(_WIDTH * columns, 1.5 * _WIDTH), _HEIGHT * rows + 0.4
    figure = Figure(figsize=size, layout="constrained")
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for spare in panels[count:]:
        spare.remove()
    return figure, panels[:count]


def _plain_numbers(axis: "Axis") -> None:
    """Label a logarithmic axis at 1, 2, 5, 10 and so on."""
    from matplotlib.ticker import FormatStrFormatter, LogLocator, NullLocator

    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FormatStrFormatter("%g"))


def _legend(figure: "Figure", panels: Sequence["Axes"]) -> None:
    """Name every line once, below the panels, where the legend hides nothing."""
    entries: dict[str, Artist] = {}
    for axes in panels:
        for handle, name in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(name, handle)
    inches = 0.6 + 0.07 * max(len(name) for name in entries)
    rows = ceil(len(entries) * inches / figure.get_figwidth())
    figure.set_figheight(figure.get_figheight() + 0.2 * rows)
    figure.legend(
        handles=list(entries.values()),
        labels=list(entries),
        loc="outside lower center",
        ncols=ceil(len(entries) / rows),
        frameon=False,
    )


def _png(figure: "Figure") -> bytes:
    content = BytesIO()
    figure.savefig(content, format="png", dpi=_DPI)
    return content.getvalue()
