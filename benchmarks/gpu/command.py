"""``python -m benchmarks gpu``: all parts of the check."""

import time
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.data import data_folder
from benchmarks.gpu.card import NO_GPU, cards
from benchmarks.gpu.parts import STORES, parts, run
from mutant_guard.runtime.options import Device


def check(
    minutes: Annotated[
        float, typer.Option(min=0.05, help="Time of all parts; each has a share of what is left.")
    ] = 9.5,
    device: Annotated[Device, typer.Option(help="cuda, or cpu for a trial of the check itself.")] = "cuda",
    store: Annotated[
        list[str] | None,
        typer.Option(
            help="lenet, resnet20, lite0, or the directory of a store; may be given again. Default: these three."
        ),
    ] = None,
    stores: Annotated[bool, typer.Option(help="Whether stores are checked.")] = True,
    training: Annotated[bool, typer.Option(help="Whether GoogLeNet is trained.")] = True,
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
    folders = {"--data": data or data_folder(), "--work": work, "--out": out}
    options = ["--device", device, *(word for pair in folders.items() for word in map(str, pair))]
    chosen = parts((store or STORES) if stores else (), ("--piece-mib", str(piece_mib)) if training else None)
    if not run(chosen, options, until, lambda text: typer.echo(f"[gpu] {text}")):
        raise typer.Exit(1)
