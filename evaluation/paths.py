"""``python -m evaluation.paths``: draws the sequential test of image files, mutant by mutant, as the guard ran it."""

from pathlib import Path
from typing import Annotated

import matplotlib as mpl
import typer
from matplotlib.figure import Figure

from evaluation.console import console
from mutant_store.console import errors_shown
from service.guard import Guard
from service.settings import Settings
from service.verdict import Judgement, Verdict

_COLOURS = {Verdict.NORMAL: "#2a7f62", Verdict.ADVERSARIAL: "#c8453b", Verdict.UNDECIDED: "#b08a1e"}
_KEY = "a fixed key, so that the figure can be drawn again"


def draw(judgements: list[Judgement], title: str) -> Figure:
    """Log ratios over mutants, one line an image coloured by its verdict, between the two bounds."""
    with mpl.rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(8, 4.2), layout="constrained")
        axes = figure.subplots()
        longest = max(judgement.mutants for judgement in judgements)
        for judgement in judgements:
            path = [0.0, *judgement.explanation.log_ratio]
            colour = _COLOURS[judgement.verdict]
            axes.plot(range(len(path)), path, color=colour, linewidth=1.3, alpha=0.55)
            axes.plot(len(path) - 1, path[-1], "o", color=colour, markersize=5)
        shown = judgements[0].explanation
        for bound, text, verdict, below in (
            (shown.normal_bound, "sure that it is normal", Verdict.NORMAL, False),
            (shown.adversarial_bound, "sure that it is not", Verdict.ADVERSARIAL, True),
        ):
            axes.axhline(bound, color=_COLOURS[verdict], linewidth=1, linestyle="--")
            offset, align = (-0.25, "top") if below else (0.25, "bottom")
            axes.text(longest, bound + offset, text, color=_COLOURS[verdict], ha="right", va=align)
        for verdict in Verdict:
            count = sum(judgement.verdict == verdict for judgement in judgements)
            if count:
                axes.plot([], [], color=_COLOURS[verdict], label=f"{count} {verdict.value}")
        lowest = min(min(judgement.explanation.log_ratio) for judgement in judgements)
        highest = max(max(judgement.explanation.log_ratio) for judgement in judgements)
        axes.set_ylim(lowest - 1.2, highest + 1.2)
        axes.set_xlim(0, longest + 1)
        axes.set_xlabel("mutants consumed")
        axes.set_ylabel("log likelihood ratio")
        axes.set_title(title, loc="left", fontsize=11)
        axes.legend(frameon=False, loc="center right")
    return figure


def main(
    images: Annotated[list[Path], typer.Argument(help="PNG, JPEG or WebP files.")],
    store: Annotated[Path, typer.Option(help="Directory of the store.")],
    out: Annotated[Path, typer.Option(help="PNG file to write.")],
    policy: Annotated[str, typer.Option(help="Policy of the verdict: calibrated or paper.")] = "calibrated",
) -> None:
    """Judge image files and draw how each test went."""
    with errors_shown():
        settings = Settings.model_validate({"store": store, "policy": policy, "order_key": _KEY})
        guard = Guard(settings)
        guard.start()
        judgements = [guard.judge_now(path.read_bytes())[0] for path in images]
        guard.scheduler.close()
        title = f"{guard.store.name}, {guard.policy.name}: {len(images)} images"
        out.parent.mkdir(parents=True, exist_ok=True)
        draw(judgements, title).savefig(out, dpi=160)
    console.print(f"wrote {out}")


if __name__ == "__main__":
    typer.run(main)
