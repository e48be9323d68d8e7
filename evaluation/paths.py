"""``python -m evaluation.paths``: a picture of the sequential test of image files.

It shows the test mutant by mutant, as the guard ran it.
"""

from itertools import accumulate
from math import inf, isfinite, nan
from pathlib import Path
from typing import Annotated

import matplotlib as mpl
import numpy as np
import typer
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from evaluation.console import console
from mutant_guard.guard import Guard
from mutant_guard.runtime.judgement import Judgement
from mutant_guard.wire.verdict import Explanation, Verdict
from mutant_store.cli.console import errors_shown

_COLOURS = {Verdict.NORMAL: "#2a7f62", Verdict.ADVERSARIAL: "#c8453b", Verdict.UNDECIDED: "#b08a1e"}
_BOUNDS = {Verdict.NORMAL: "sure that it is normal", Verdict.ADVERSARIAL: "sure that it is not"}
_KEY = "a fixed key, so that the figure can be drawn again"


def draw(judgements: list[Judgement], told: list[Explanation], title: str) -> Figure:
    """Draw one line an image, coloured by its verdict, over the mutants it met.

    The lines run between the bounds of the test. They are log ratios; where a ratio is infinite the
    line ends in an arrow at the edge. A policy without log ratios is drawn by its label changes.
    """
    with mpl.rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(8, 4.2), layout="constrained")
        axes = figure.subplots()
        lines = [_heights(*pair) for pair in zip(judgements, told, strict=True)]
        longest = max(told, key=lambda explanation: len(explanation.label_changed))
        bounds, counted = _bounds(longest), longest.log_ratio is None
        finite = [height for line in [*lines, *bounds.values()] for height in line if isfinite(height)]
        margin = 0.12 * max(max(finite) - min(finite), 1.0)
        lowest, highest = min(finite) - margin, max(finite) + margin
        for judgement, line in zip(judgements, lines, strict=True):
            colour, heights = _COLOURS[judgement.verdict], np.clip(line, lowest, highest)
            end = "o" if isfinite(line[-1]) else "^" if line[-1] > 0 else "v"
            axes.plot(range(len(line)), heights, color=colour, linewidth=1.3, alpha=0.55)
            axes.plot(len(line) - 1, heights[-1], end, color=colour, markersize=5, clip_on=False)
        for verdict, bound in bounds.items():
            reached = [n for n, height in enumerate(bound) if isfinite(height)]
            dash = 14 if len(reached) == 1 else 0  # a bound at one place only makes no line
            axes.plot(bound, "--_", color=_COLOURS[verdict], linewidth=1, markersize=dash)
            if reached:
                above = (verdict == Verdict.NORMAL) is not counted  # the more label changes, the less normal
                axes.annotate(
                    _BOUNDS[verdict],
                    (reached[-1], bound[reached[-1]]),
                    xytext=(0, 4 if above else -4),
                    textcoords="offset points",
                    color=_COLOURS[verdict],
                    ha="right",
                    va="bottom" if above else "top",
                )
        for verdict in Verdict:
            count = sum(judgement.verdict == verdict for judgement in judgements)
            if count:
                axes.plot([], [], color=_COLOURS[verdict], label=f"{count} {verdict.value}")
        axes.set_ylim(lowest, highest)
        axes.set_xlim(0, len(longest.label_changed) + 1)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("mutants consumed")
        axes.set_ylabel("label changes" if counted else "log likelihood ratio")
        axes.set_title(title, loc="left", fontsize=11)
        axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.2, ncols=3)
    return figure


def _heights(judgement: Judgement, told: Explanation) -> list[float]:
    """Return a line from before the first mutant on; infinite where the explanation has null."""
    if told.log_ratio is None:
        return list(accumulate([told.own_evidence, *told.evidence]))
    certain = inf if judgement.verdict == Verdict.NORMAL else -inf
    return [0.0, *(certain if ratio is None else ratio for ratio in told.log_ratio)]


def _bounds(told: Explanation) -> dict[Verdict, list[float]]:
    """Return where each verdict is reached after each number of mutants, NaN where it cannot be."""
    count = len(told.label_changed)
    if told.normal_bound is not None and told.adversarial_bound is not None:
        return {
            Verdict.NORMAL: [told.normal_bound] * (count + 2),
            Verdict.ADVERSARIAL: [told.adversarial_bound] * (count + 2),
        }
    met = range(1, count + 1)
    normal = [most if most >= 0 else nan for most in told.normal_at_most]
    adversarial = [
        least if least <= n else nan for n, least in zip(met, told.adversarial_at_least, strict=True)
    ]
    return {Verdict.NORMAL: [nan, *normal], Verdict.ADVERSARIAL: [nan, *adversarial]}


def main(
    images: Annotated[list[Path], typer.Argument(help="PNG, JPEG or WebP files.")],
    store: Annotated[Path, typer.Option(help="Directory of the store.")],
    out: Annotated[Path, typer.Option(help="PNG file to write.")],
    policy: Annotated[
        str, typer.Option(help="Policy of the verdict: calibrated, fixed or paper.")
    ] = "calibrated",
) -> None:
    """Judge image files and draw how each test went."""
    with errors_shown():
        with Guard(store, policy=policy, order_key=_KEY) as guard:
            answers = [guard.classify(path) for path in images]
        model = guard.models.default
        title = f"{model.name}, {model.policy.name}: {len(images)} images"
        out.parent.mkdir(parents=True, exist_ok=True)
        told = [answer.explain(prove=False) for answer in answers]
        draw([answer.judgement for answer in answers], told, title).savefig(out, dpi=160)
    console.print(f"wrote {out}")


if __name__ == "__main__":
    typer.run(main)
