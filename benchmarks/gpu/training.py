"""Training of a network for as long as there is time, and its weights, in pieces where they are large."""

import csv
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.sections import Section, Table
from benchmarks.sections import held as held_cell
from evaluation.train import DataSet, train
from evaluation.training.finished import Held
from mutant_guard.runtime.options import Device
from mutant_guard.store.atomic import write_atomically

_SHARE = 0.9
"""Share of the time that the epochs may take; the rest is for the test images and the files."""


@dataclass(frozen=True)
class Recipe:
    """Training of a network.

    Attributes:
        title: name of the network as people write it.
        data_set: data set, as ``evaluation.train`` has it.
        network: registered name.
        batch_size: images a step.
        learning_rate: peak of the schedule.
        paper: the paper's accuracy in percent; None where it has none.
    """

    title: str
    data_set: DataSet
    network: str
    batch_size: int
    learning_rate: float
    paper: float | None = None

    @property
    def name(self) -> str:
        """Name of the files."""
        return f"{self.data_set}-{self.network}"


GOOGLENET = Recipe("GoogLeNet", DataSet.cifar10, "googlenet", 256, 0.2, 90.5)


def measure(
    recipe: Recipe,
    data: str,
    folders: tuple[Path, Path],
    device: Device,
    seconds: float,
    piece: int,
    say: Callable[[str], None],
) -> Section:
    """Train a network with seed 0, and write its weights and the curve of the training.

    Args:
        recipe: the network, and how it is trained.
        data: SPEC of the training images; the test images are those of its split ``test``.
        folders: folder of checkpoint and files, and folder of the results.
        device: ``cpu`` or ``cuda``.
        seconds: time of all.
        piece: bytes above which the file of weights is cut into pieces; 0 for never.
        say: callback that is told what is going on.

    Raises:
        typer.Exit: the training failed, and said why.
    """
    work, out = folders
    minutes = _SHARE * seconds / 60
    say(f"training {recipe.title} for {minutes:.1f} minutes at most")
    model = work / f"{recipe.name}.onnx"
    held = train(
        recipe.data_set,
        out=model,
        model=recipe.network,
        data=data,
        minutes=minutes,
        batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        device=device,
        bf16=device == "cuda",
        onnx=False,
    )
    curve = model.with_suffix(".curve.csv").read_bytes()
    write_atomically(out / f"{recipe.name}.curve.csv", curve)
    content = model.with_suffix(".safetensors").read_bytes()
    names = write_pieces(out / f"{recipe.name}.safetensors", content, piece)
    epochs = list(csv.DictReader(curve.decode().splitlines()))
    return _section(recipe, held, epochs, names, hashlib.sha256(content).hexdigest())


def write_pieces(path: Path, content: bytes, piece: int) -> list[str]:
    """Write a file, or pieces ``NAME.0``, ``NAME.1`` … of it, and return the names in their order.

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
    width = len(str(len(starts) - 1))
    pieces = [path.with_name(f"{path.name}.{number:0{width}}") for number in range(len(starts))]
    for start, part in zip(starts, pieces, strict=True):
        write_atomically(part, content[start : start + piece])
    return [part.name for part in pieces]


def _section(
    recipe: Recipe, held: Held, epochs: list[dict[str, str]], names: list[str], digest: str
) -> Section:
    key = recipe.network.replace("-", "_")
    each = sum(float(row["seconds"]) for row in epochs) / len(epochs)
    figures = [Figure(f"{key}_epochs", len(epochs), ""), Figure(f"{key}_seconds_an_epoch", each, "s")]
    for split, (right, _) in held.items():
        target = recipe.paper if split == "test" else None
        figures.append(Figure(f"{key}_{split}_accuracy", 100 * right, "%", target))
    of_images = ", ".join(f"{split} {count:,}" for split, (_, count) in held.items())
    notes = [
        f"Seed 0, batches of {recipe.batch_size}, peak learning rate {recipe.learning_rate:g}. Images of the "
        f"accuracies: {of_images or 'none'}.",
        *(["CIFAR-10 (JPEG); the target is the paper's accuracy."] if recipe.paper else []),
        f"Weights: {', '.join(names)}{' (cat puts them together)' if len(names) > 1 else ''}; sha256 of the whole "
        f"{digest}. python -m evaluation.export makes the ONNX file.",
    ]
    head = ["", *(figure.name.removeprefix(f"{key}_").replace("_", " ") for figure in figures)]
    rows = [[recipe.title, *map(held_cell, figures)]]
    return Section("Training", [Table(f"Training of {recipe.title}", head, rows, notes)], figures)
