"""``python -m benchmarks gpu``: all parts of the check."""

import time
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.data import data_folder
from benchmarks.gpu.card import NO_GPU, cards
from benchmarks.gpu.parts import STORES, TRAINING, parts, run
from mutant_guard.runtime.options import Device


def check(
    minutes: Annotated[
        float, typer.Option(min=0.05, help="Time of all parts; each has a share of what is left.")
    ] = 9.5,
    device: Annotated[Device, typer.Option(help="cuda, or cpu for a trial of the check itself.")] = "cuda",
    store: Annotated[
        list[Path] | None,
        typer.Option(
            help="Directory of a store to check in place of those that are built; may be given again."
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="Part to run, lenet, resnet20, lite0 or googlenet; may be given again. Default: all."
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder with mnist/, cifar10/ and imagenet-samples/. Default: $GUARD_DATA_DIR."),
    ] = None,
    work: Annotated[
        Path, typer.Option(help="Folder of stores and checkpoints; what is there is not made again.")
    ] = Path("runs/gpu"),
    out: Annotated[
        Path, typer.Option(help="Folder of the results: a page for each part, weights and training curve.")
    ] = Path("runs/gpu/results"),
    piece_mib: Annotated[
        float,
        typer.Option(min=0, help="MiB above which a file of weights is cut into pieces. Default: never."),
    ] = 0.0,
) -> None:
    """Check the CUDA provider against the CPU, measure its speed, and train GoogLeNet, on one NVIDIA GPU.

    Exits 1 where a part fails; the others are run all the same.
    """
    until = time.monotonic() + 60 * minutes
    found = cards()
    if device != "cuda":
        typer.echo("A trial on the CPU: figures say nothing about a GPU.")
    elif not found:
        typer.echo(f"error: {NO_GPU}", err=True)
        raise typer.Exit(1)
    else:
        typer.echo(f"{', '.join(found)}; {minutes:.1f} minutes")
    for name in only or []:
        if name not in (*STORES, TRAINING):
            raise typer.BadParameter(f"there is no part '{name}': give {', '.join(STORES)} or {TRAINING}")
    stores = [str(path) for path in store or []] or [name for name in STORES if not only or name in only]
    folders = {"--data": data or data_folder(), "--work": work, "--out": out}
    options = ["--device", device, *(word for pair in folders.items() for word in map(str, pair))]
    chosen = parts(stores, ("--piece-mib", str(piece_mib)) if not only or TRAINING in only else None)
    if not run(chosen, options, until, lambda text: typer.echo(f"[gpu] {text}")):
        raise typer.Exit(1)
