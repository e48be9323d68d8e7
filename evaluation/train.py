"""``python -m evaluation.train``: a registered classifier, trained, as ONNX and safetensors."""

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from evaluation.console import console
from evaluation.hardware import chosen_device
from evaluation.training.curve import Point, TrainingCurve
from evaluation.training.finished import Held, held_out, other_split, shown, write_onnx
from evaluation.training.time_limit import fitting_epochs
from evaluation.training.trainer import Settings, Step, Trainer
from mutant_guard.errors import DeviceError
from mutant_guard.runtime.options import Device
from mutant_store.cli.console import errors_shown
from mutant_store.datasets import ImageData, load
from mutant_store.networks import CLASSIFIERS, Network, weights
from mutant_store.networks.inference import accuracy

app = typer.Typer(add_completion=False, rich_markup_mode=None)


class DataSet(StrEnum):
    """Data set to train on; it chooses the network that is trained by default."""

    digits = "digits"
    mnist = "mnist"
    cifar10 = "cifar10"


_MODELS = {DataSet.digits: "digits-net", DataSet.mnist: "lenet", DataSet.cifar10: "resnet20"}
_NAMES = ", ".join(CLASSIFIERS)


@app.command()
def train(
    dataset: Annotated[DataSet, typer.Argument(help="Data set; it sets the defaults of --model and --data.")],
    *,
    out: Annotated[
        Path,
        typer.Option(help="ONNX file to write; NAME.safetensors and NAME.curve.csv are written beside it."),
    ],
    model: Annotated[
        str | None,
        typer.Option(help=f"One of {_NAMES}. Default: digits-net, lenet or resnet20, by data set."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="SPEC",
            help="Images to train on, such as mnist:DIR@train or imagefolder:DIR@train. Default: the data "
            "set's train split; MNIST and CIFAR-10 are looked for in $GUARD_DATA_DIR/mnist and /cifar10.",
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Passes over the images. Default: digits-net 40, lenet 12, resnet20 66, googlenet 100.",
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="Train for these minutes at most, from now on: fewer epochs are planned where not all of them fit, "
            "and the learning rate falls by then. At least one is trained.",
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, help="Images a step. Default: digits-net 32, lenet 64, the others 128."),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(min=0.0, help="Peak learning rate. Default: 0.05, resnet20 and googlenet 0.1."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Seed of every random draw.")] = 0,
    device: Annotated[
        Device, typer.Option(help="Where to train; auto takes CUDA where there is a GPU.")
    ] = "auto",
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="CPU threads. Default: digits-net 1, lenet 2, the others one a core."),
    ] = None,
    bf16: Annotated[
        bool | None,
        typer.Option(
            "--bf16/--no-bf16",
            help="Train in bfloat16 arithmetic. Default: resnet20 and googlenet, on a GPU or a "
            "processor with instructions for it.",
        ),
    ] = None,
    onnx: Annotated[
        bool,
        typer.Option(
            "--onnx/--no-onnx", help="Export to ONNX; without, python -m evaluation.export does so later."
        ),
    ] = True,
) -> Held:
    """Train a classifier, export it to ONNX, and report its accuracy on held-out images.

    Only the images of --data are learned from. A run that is killed goes on at its last finished
    epoch when the same command is given again, with the same result on a CPU unless --minutes is
    given. NAME.curve.csv holds the loss and the accuracies of every epoch.
    """
    until = None if minutes is None else time.monotonic() + 60 * minutes
    name = model or _MODELS[dataset]
    if name not in CLASSIFIERS:
        raise typer.BadParameter(f"{name!r} is not registered; it is one of {_NAMES}", param_hint="--model")
    if out.suffix != ".onnx":
        raise typer.BadParameter(f"{out} must end in .onnx", param_hint="--out")
    classifier, settled = CLASSIFIERS[name], _device(device)
    settings = Settings(
        model=name,
        epochs=epochs or classifier.epochs,
        batch_size=batch_size or classifier.batch_size,
        learning_rate=classifier.learning_rate if learning_rate is None else learning_rate,
        seed=seed,
        bf16=classifier.bf16_on(settled) if bf16 is None else bf16,
        device=settled,
    )
    if used := threads or classifier.threads:
        torch.set_num_threads(used)
    torch.backends.cudnn.benchmark = True  # of a GPU alone: every step has the same shape
    torch.backends.cudnn.allow_tf32 = False  # accuracies are those of float32, on a GPU as well
    with errors_shown():
        spec = data or CLASSIFIERS[_MODELS[dataset]].data
        return _train(classifier, settings, spec, out, until, onnx=onnx)


def _device(device: Device) -> str:
    try:
        return chosen_device(device)
    except DeviceError as error:
        raise typer.BadParameter(str(error), param_hint="--device") from error


def _train(
    classifier: Network, settings: Settings, spec: str, out: Path, until: float | None, *, onnx: bool
) -> Held:
    with console.status(f"Loading {escape(spec)} …"):
        data = load(spec, shape=classifier.shape)
        holdout = other_split(data, "holdout", classifier)
    count = f"{len(data):,} images of {data.range.spec}"
    epochs = f"{'' if until is None else 'at most '}{settings.epochs} epochs"
    console.print(f"Training {settings.model} on {count}, {epochs}, on {settings.device}", markup=False)
    trainer = Trainer(classifier, data, settings)
    checkpoint = out.with_suffix(".checkpoint")
    if reason := trainer.resume(checkpoint):
        console.print(f"Starting over: {reason}", markup=False)
    elif trainer.finished:
        console.print(f"Going on after epoch {trainer.finished}, from {checkpoint}", markup=False)
    curve = TrainingCurve(out.with_suffix(".curve.csv"), trainer.finished)
    seconds = []
    while trainer.finished < trainer.epochs:
        began = time.monotonic()
        curve.append(_run_epoch(trainer, holdout))
        trainer.save(checkpoint)
        now = time.monotonic()
        seconds.append(now - began)
        if until is not None:
            trainer.epochs = fitting_epochs(
                settings.epochs, trainer.epochs, trainer.finished, seconds, until - now
            )
    held = _finish(trainer, data, holdout, out, onnx=onnx)
    checkpoint.unlink(missing_ok=True)
    return held


def _run_epoch(trainer: Trainer, holdout: ImageData | None) -> Point:
    start = time.perf_counter()
    epoch = f"epoch {trainer.finished + 1}/{trainer.epochs}"
    columns = TextColumn(epoch), BarColumn(), TextColumn("{task.description}"), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=trainer.steps)

        def show(step: Step) -> None:
            text = f"loss {step.loss:.4f}  accuracy {step.accuracy:.2%}"
            progress.update(task, completed=step.step, description=text)

        last = trainer.run_epoch(show if console.is_terminal else None)
    held = None if holdout is None else accuracy(trainer.model, trainer.classifier, holdout)
    text = "" if held is None else f"  holdout {held:.2%}"
    console.print(f"{epoch}  loss {last.loss:.4f}  accuracy {last.accuracy:.2%}{text}")
    return Point(last.epoch, last.loss, last.accuracy, held, time.perf_counter() - start)


def _finish(trainer: Trainer, data: ImageData, holdout: ImageData | None, out: Path, *, onnx: bool) -> Held:
    """Measure the network where it was trained, and write its files."""
    classifier, name = trainer.classifier, trainer.settings.model
    held = held_out(trainer.model, classifier, holdout, other_split(data, "test", classifier))
    model = trainer.exportable()
    path = out.with_suffix(".safetensors")
    weights.save(path, name, model, len(data.class_names))
    if onnx:
        write_onnx(out, model, classifier, data, held)
    console.print("  ".join([*shown(held), *([f"{out}"] if onnx else []), f"{path}"]), markup=False)
    return held


if __name__ == "__main__":
    app()
