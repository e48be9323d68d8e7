"""``python -m benchmarks.gpu``: one part of the check, as ``python -m benchmarks gpu`` starts it."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks import results
from benchmarks.gpu import SKIPPED
from benchmarks.gpu.card import cards
from benchmarks.gpu.errors import SkippedError
from benchmarks.sections import Section
from evaluation.hardware import hardware, load, versions
from mutant_guard.errors import GuardError, one_line
from mutant_guard.runtime.options import Device
from mutant_store.cli.console import BuildReport, errors_shown

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

_WIDTH = 132
_LABELS = 0.25
"""Share of a store's time after which no more labels are compared."""

DeviceOption = Annotated[Device, typer.Option(help="cuda, or cpu for a trial of the check itself.")]
Seconds = Annotated[float, typer.Option(min=1, help="Time of the part.")]
Data = Annotated[Path, typer.Option(help="Folder with mnist/, cifar10/ and imagenet-samples/.")]
Work = Annotated[Path, typer.Option(help="Folder of stores and checkpoints.")]
Out = Annotated[Path, typer.Option(help="Folder of the results.")]


@app.command()
def store(
    name: Annotated[str, typer.Argument(help="lenet, resnet20, lite0, or the directory of a store.")],
    device: DeviceOption,
    seconds: Seconds,
    data: Data,
    work: Work,
    out: Out,
) -> None:
    """Compare the labels of a store with the CPU's, and measure its throughput.

    Exits 1 where labels differ.
    """
    until = time.monotonic() + seconds
    with _said() as report:
        import torch  # noqa: F401  its CUDA libraries are loaded before onnxruntime looks for them

        from benchmarks.gpu import labels, stores, throughput
        from mutant_guard.bank.workers import Workers
        from mutant_guard.runtime.engine import load_engine, providers

        providers(device)  # says what is missing before a store is built
        subject = stores.subject(name, data, work, report.step)
        workers = Workers()
        sessions = (
            load_engine(subject.store, device="cpu", workers=workers),
            load_engine(subject.store, device=device, workers=workers),
        )
        half = time.monotonic() + _LABELS * (until - time.monotonic())
        manifest = subject.store.manifest
        found = [labels.measure(subject.key, sessions, subject.images, manifest.mutants, half, report.step)]
        _write(out / f"{Path(name).name}.md", found, device)
        found.append(throughput.measure(subject, sessions[1], device, until, report.step))
        _write(out / f"{Path(name).name}.md", found, device)
        workers.close()
    _show(found)
    if any(figure.met is False for section in found for figure in section.figures):
        typer.echo(f"error: {name}: labels on the device are not those of the CPU", err=True)
        raise typer.Exit(1)


@app.command(name="train")
def train_for(
    device: DeviceOption,
    seconds: Seconds,
    data: Data,
    work: Work,
    out: Out,
    piece_mib: Annotated[float, typer.Option(min=0, help="See python -m benchmarks gpu.")] = 0.0,
) -> None:
    """Train GoogLeNet on CIFAR-10 for as long as there is time."""
    with _said() as report:
        from benchmarks.gpu import training

        spec, piece = f"imagefolder:{data / 'cifar10'}@train", int(piece_mib * 2**20)
        recipe = training.GOOGLENET
        found = training.measure(recipe, spec, (work, out), device, seconds, piece, report.step)
        _write(out / f"{recipe.name}.md", [found], device)
    _show([found])


@contextmanager
def _said() -> Iterator[BuildReport]:
    """Say on one line why a part was skipped or failed, whatever it fails with, and exit."""
    with errors_shown(), BuildReport() as report:
        try:
            yield report
        except SkippedError as error:
            typer.echo(f"skipped: {error}", err=True)
            raise typer.Exit(SKIPPED) from error
        except (GuardError, OSError, MemoryError, typer.Exit):
            raise
        except Exception as error:  # of CUDA, torch or onnxruntime; the other parts go on
            raise GuardError(f"{type(error).__name__}: {one_line(error)}") from error


def _write(path: Path, sections: list[Section], device: Device) -> None:
    on_gpu = device == "cuda"
    machine = f"{', '.join(cards()) if on_gpu else 'no GPU'}; {hardware()}"
    how = "Made by `make gpu-check`, not by hand. Alternatives were run in turn in one process; times are medians."
    if not on_gpu:
        how = "A trial of `make gpu-check` on the CPU: its figures say nothing about a GPU."
    now = f"{datetime.now(UTC):%Y-%m-%d}"
    results.write(path, sections, results.Circumstances(now, machine, versions(), load(), not on_gpu, how))


def _show(sections: list[Section]) -> None:
    console = Console(highlight=False, width=_WIDTH)
    for section in sections:
        for table in section.tables:
            console.print(table.rich())
        for figure in section.figures:
            typer.echo(figure.json())
    sys.stdout.flush()


if __name__ == "__main__":
    app()
