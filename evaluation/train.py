"""``python -m evaluation.train``: a registered classifier, trained, as ONNX and safetensors."""

import time
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from evaluation.console import console
from evaluation.training.curve import Point, TrainingCurve
from evaluation.training.time_limit import fitting_epochs
from evaluation.training.trainer import Settings, Step, Trainer
from mutant_guard.errors import DataError
from mutant_guard.store.atomic import write_atomically
from mutant_guard.store.model_card import ModelCard
from mutant_store.cli.console import errors_shown
from mutant_store.datasets import ImageData, load, parse
from mutant_store.networks import CLASSIFIERS, Network, weights
from mutant_store.networks.inference import accuracy, normalised
from mutant_store.networks.onnx_export import largest_difference, to_onnx

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_CHECKED = 64
"""Number of images on which the ONNX file is compared with torch."""


class DataSet(StrEnum):
    """Data set to train on; it chooses the network that is trained by default."""

    digits = "digits"
    mnist = "mnist"
    cifar10 = "cifar10"


class Device(StrEnum):
    """Device to train on."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


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
    ] = Device.auto,
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="CPU threads. Default: digits-net 1, lenet 2, the others one a core."),
    ] = None,
    bf16: Annotated[
        bool | None,
        typer.Option(
            "--bf16/--no-bf16", help="Train in bfloat16 arithmetic. Default: only resnet20 and googlenet."
        ),
    ] = None,
) -> None:
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
    classifier = CLASSIFIERS[name]
    settings = Settings(
        model=name,
        epochs=epochs or classifier.epochs,
        batch_size=batch_size or classifier.batch_size,
        learning_rate=classifier.learning_rate if learning_rate is None else learning_rate,
        seed=seed,
        bf16=classifier.bf16 if bf16 is None else bf16,
        device=_device(device),
    )
    if used := threads or classifier.threads:
        torch.set_num_threads(used)
    torch.backends.cudnn.allow_tf32 = False  # accuracies are those of float32, on a GPU as well
    with errors_shown():
        _train(classifier, settings, data or CLASSIFIERS[_MODELS[dataset]].data, out, until)


def _device(device: Device) -> str:
    there = torch.cuda.is_available()
    if device is Device.cuda and not there:
        raise typer.BadParameter("torch sees no GPU; use --device cpu", param_hint="--device")
    return "cuda" if there and device is not Device.cpu else "cpu"


def _train(classifier: Network, settings: Settings, spec: str, out: Path, until: float | None) -> None:
    with console.status(f"Loading {escape(spec)} …"):
        data = load(spec, shape=classifier.shape)
        holdout = _other_split(data, "holdout", classifier)
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
        point = _run_epoch(trainer, holdout)
        curve.append(point)
        seconds.append(point.seconds)
        if until is not None:
            left = until - time.monotonic()
            trainer.epochs = fitting_epochs(settings.epochs, trainer.epochs, trainer.finished, seconds, left)
        trainer.save(checkpoint)
    _export(trainer, data, holdout, out)
    checkpoint.unlink(missing_ok=True)


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
    shown = "" if held is None else f"  holdout {held:.2%}"
    console.print(f"{epoch}  loss {last.loss:.4f}  accuracy {last.accuracy:.2%}{shown}")
    return Point(last.epoch, last.loss, last.accuracy, held, time.perf_counter() - start)


def _export(trainer: Trainer, data: ImageData, holdout: ImageData | None, out: Path) -> None:
    classifier, name = trainer.classifier, trainer.settings.model
    test = _other_split(data, "test", classifier)
    held = {
        split: (accuracy(trainer.model, classifier, images), len(images))
        for split, images in (("holdout", holdout), ("test", test))
        if images is not None
    }
    model = trainer.exportable()
    card = ModelCard(
        train_data=data.portable_range,
        mean=list(classifier.mean),
        std=list(classifier.std),
        layout="nchw",
        classes=list(data.class_names),
        accuracy=list(held.values())[-1][0] if held else None,
    )
    path = out.with_suffix(".safetensors")
    weights.save(path, name, model, len(data.class_names))
    images = normalised(classifier, data.images[:_CHECKED])
    content = to_onnx(model, card, images)
    difference = largest_difference(content, model, images)
    console.print(f"ONNX Runtime and torch agree to {difference:.1e} on the logits of {len(images)} images")
    accuracies = [f"{split} {right:.2%} of {count:,}" for split, (right, count) in held.items()]
    write_atomically(out, content)
    console.print("  ".join([*accuracies, f"{out}", f"{path}"]), markup=False)


def _other_split(data: ImageData, split: str, classifier: Network) -> ImageData | None:
    """Load the holdout or test images that go with the training images; None if there are none."""
    spec = parse(data.range.spec)
    if spec.split is None:
        return None
    try:
        other = load(replace(spec, split=split, start=None, stop=None), shape=classifier.shape)
    except DataError:
        return None
    return None if other.range.overlaps(data.range) else other


if __name__ == "__main__":
    app()
