"""``python -m evaluation.export``: the ONNX file of weights that were trained elsewhere, and their accuracy."""

from pathlib import Path
from typing import Annotated

import typer

from evaluation.console import console
from evaluation.training.finished import held_out, other_split, shown, write_onnx
from mutant_store.cli.console import errors_shown
from mutant_store.datasets import load
from mutant_store.networks import weights

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def export(
    path: Annotated[Path, typer.Argument(metavar="WEIGHTS", help="NAME.safetensors of evaluation.train.")],
    data: Annotated[
        str | None,
        typer.Option(metavar="SPEC", help="Images it was trained on. Default: those of evaluation.train."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="ONNX file to write. Default: NAME.onnx beside it.")
    ] = None,
) -> None:
    """Measure trained weights on the held-out images of their data, and write their ONNX file."""
    with errors_shown():
        trained = weights.load(path)
        classifier = trained.classifier
        images = load(data or classifier.data, shape=classifier.shape)
        splits = (other_split(images, split, classifier) for split in ("holdout", "test"))
        held = held_out(trained.network, classifier, *splits)
        target = out or path.with_suffix(".onnx")
        write_onnx(target, trained.network, classifier, images, held)
        console.print("  ".join([*shown(held), f"{target}"]), markup=False)


if __name__ == "__main__":
    app()
