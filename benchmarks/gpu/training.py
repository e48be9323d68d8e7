"""Training of a network for as long as there is time, and its weights, in pieces where they are large."""

import csv
import hashlib
from collections.abc import Callable
from pathlib import Path

from benchmarks.figures import Figure, quantity
from benchmarks.sections import Section, Table, held
from evaluation.train import DataSet, Device, train
from mutant_guard.store.atomic import write_atomically
from mutant_store.graph.classifier import load_classifier

NETWORK = "googlenet"
NAME = f"cifar10-{NETWORK}"

_PAPER = 90.5
_BATCH, _PEAK = 256, 0.2
_EXPORT, _SHARE = 50.0, 0.25
"""Seconds kept for the export, and the largest share of the time that they may be."""


def measure(
    data: str,
    folders: tuple[Path, Path],
    device: str,
    seconds: float,
    piece: int,
    say: Callable[[str], None],
) -> Section:
    """Train GoogLeNet, and write weights and curve.

    Args:
        data: SPEC of the training images, whose test images are those of the split ``test``.
        folders: folder of checkpoint and ONNX file, and folder of the results.
        device: ``cpu`` or ``cuda``.
        seconds: time of all, the export included.
        piece: bytes above which the file of weights is cut into pieces; 0 for never.
        say: callback that is told what is going on.

    Raises:
        typer.Exit: the training failed, and said why.
        GuardError: its ONNX file cannot be read.
    """
    work, out = folders
    model = work / f"{NAME}.onnx"
    minutes = (seconds - min(_EXPORT, _SHARE * seconds)) / 60
    say(f"training {NETWORK} for {minutes:.1f} minutes at most")
    train(
        DataSet.cifar10,
        out=model,
        model=NETWORK,
        data=data,
        minutes=minutes,
        batch_size=_BATCH,
        learning_rate=_PEAK,
        device=Device(device),
    )
    curve = model.with_suffix(".curve.csv").read_bytes()
    write_atomically(out / f"{NAME}.curve.csv", curve)
    content = model.with_suffix(".safetensors").read_bytes()
    names = write_pieces(out / f"{NAME}.safetensors", content, piece)
    epochs = list(csv.DictReader(curve.decode().splitlines()))
    return _section(load_classifier(model).card.accuracy, epochs, names, hashlib.sha256(content).hexdigest())


def write_pieces(path: Path, content: bytes, piece: int) -> list[str]:
    """Write a file, or pieces ``NAME.0``, ``NAME.1`` … of it, and return the names.

    Args:
        path: path of the file.
        content: its bytes.
        piece: most bytes of a file; 0 for any number.
    """
    path.unlink(missing_ok=True)
    for old in path.parent.glob(f"{path.name}.[0-9]*"):
        old.unlink()
    if not piece or len(content) <= piece:
        write_atomically(path, content)
        return [path.name]
    starts = range(0, len(content), piece)
    pieces = [path.with_name(f"{path.name}.{number}") for number in range(len(starts))]
    for start, part in zip(starts, pieces, strict=True):
        write_atomically(part, content[start : start + piece])
    return [part.name for part in pieces]


def _section(accuracy: float | None, epochs: list[dict[str, str]], names: list[str], digest: str) -> Section:
    figures = [
        Figure(f"{NETWORK}_epochs", len(epochs), ""),
        Figure(
            f"{NETWORK}_seconds_an_epoch", sum(float(row["seconds"]) for row in epochs) / len(epochs), "s"
        ),
    ]
    if accuracy is not None:
        figures.insert(0, Figure(f"{NETWORK}_test_accuracy", 100 * accuracy, "%", _PAPER))
    cells = [held(figure) for figure in figures]
    notes = [
        f"CIFAR-10 (JPEG); seed 0, batches of {_BATCH}, peak learning rate {quantity(_PEAK, '')}. Target: the paper's "
        "accuracy.",
        f"Weights: {', '.join(names)}{' (put them together with cat)' if len(names) > 1 else ''}; sha256 of the whole "
        f"file {digest}.",
    ]
    head = ["", *(figure.name.removeprefix(f"{NETWORK}_").replace("_", " ") for figure in figures)]
    return Section(
        "Training", [Table("GoogLeNet on CIFAR-10", head, [["GoogLeNet", *cells]], notes)], figures
    )
