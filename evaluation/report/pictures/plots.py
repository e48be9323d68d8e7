"""All pictures of a report."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from evaluation.experiment.records.results import Results
from evaluation.report.cells import Cells
from evaluation.report.pictures.adaptive_plot import adaptive_plot
from evaluation.report.pictures.canvas import STYLE, png
from evaluation.report.pictures.cost_plot import cost_plot
from evaluation.report.pictures.mutants_plot import mutants_plot
from evaluation.report.pictures.rate_plots import confidence_plot, histogram_plot, paper_rates_plot
from evaluation.report.pictures.roc_plot import roc_plot

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PLOTS: dict[str, Callable[[Cells], "Figure | None"]] = {
    "paper-rates.png": paper_rates_plot,
    "roc.png": roc_plot,
    "cost.png": cost_plot,
    "confidence.png": confidence_plot,
    "mutants-used.png": mutants_plot,
    "adaptive.png": adaptive_plot,
}


def plots(results: Results) -> dict[str, bytes]:
    """Return PNG files by name, those that the results have something for.

    This needs matplotlib.
    """
    import matplotlib as mpl

    cells = Cells(results)
    with mpl.rc_context(STYLE):
        figures = {name: plot(cells) for name, plot in _PLOTS.items()}
        figures |= {_histogram(name): histogram_plot(cells, name) for name in results.operators}
        return {name: png(figure) for name, figure in figures.items() if figure is not None}


def possible(results: Results) -> list[str]:
    """Return the names of the pictures that results of these operators can have."""
    return [*_PLOTS, *(_histogram(name) for name in results.operators)]


def _histogram(operator: str) -> str:
    return f"histogram-{operator.replace(':', '-').replace(',', '-')}.png"
