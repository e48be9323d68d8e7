"""Memory of a loaded bank: a process with it against one with the original alone."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.bank.networks import load_network
from benchmarks.bank.pools import Pool, draw_pool
from benchmarks.bank.resident import DESCRIPTION, IMAGE, ORIGINAL, ROWS
from benchmarks.figures import Figure, quantity
from benchmarks.sections import Section, Table, held
from mutant_guard.store.reader import PREFIX
from mutant_store.bank.files import bank_files

COUNT = 500

_REPETITIONS, _QUICK = 5, 1
_TARGET = 2.0
_ROOT = Path(__file__).parents[2]


def measure(quick: bool, say: Callable[[str], None]) -> Section:
    """Measure NAI on LeNet and ResNet-20."""
    rows, figures, notes = [], [], []
    for name in ("lenet", "resnet20"):
        network = load_network(name)
        notes += [network.note] if network.note else []
        say(f"memory with {COUNT} mutants: {network.title}, nai")
        pool = draw_pool(network, "nai", COUNT)
        with TemporaryDirectory() as folder:
            write(pool, Path(folder))
            measured = [
                {kind: resident(kind, Path(folder)) for kind in ("original", "bank")}
                for _ in range(_QUICK if quick else _REPETITIONS)
            ]
        now, peak = (
            {kind: median(run[kind][entry] for run in measured) for kind in ("original", "bank")}
            for entry in ("VmRSS", "VmHWM")
        )
        found = [
            Figure(f"{pool.key}_memory", now["bank"] / now["original"], "x", _TARGET, at_most=True),
            Figure(f"{pool.key}_peak_memory", peak["bank"] / peak["original"], "x"),
        ]
        figures += found
        for values, title, figure in zip((now, peak), ("resident", "at most"), found, strict=True):
            shown = [quantity(values[kind] / 1e6, "") for kind in ("original", "bank")]
            rows.append([f"{network.title} nai, {title}", f"{pool.rate:g}", *shown, held(figure)])
    table = Table(
        f"Memory of a process with {COUNT} mutants, MB",
        ["", "rate", "original", "bank", ""],
        rows,
        [
            f"Fresh processes with onnxruntime and numpy; the original ran one image, the bank {ROWS} mutants of it.",
            *notes,
        ],
    )
    return Section("Memory", [table], figures)


def write(pool: Pool, folder: Path) -> None:
    """Write what the processes load: the original, the bank, and an image float32 [1, …]."""
    files, tails = bank_files(pool.bank)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    description = {"prefix": PREFIX, "tails": [tail.model_dump() for tail in tails]}
    (folder / DESCRIPTION).write_text(json.dumps(description))
    (folder / ORIGINAL).write_bytes(pool.network.classifier.model.SerializeToString())
    np.save(folder / IMAGE, pool.network.inputs[:1])


def resident(kind: str, folder: Path) -> dict[str, int]:
    """Return the bytes of memory of a fresh process with ``original`` or ``bank``.

    Entries are the bytes now (``VmRSS``) and at most (``VmHWM``).
    """
    command = [sys.executable, "-m", "benchmarks.bank.resident", kind, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=_ROOT)
    found: dict[str, int] = json.loads(done.stdout)
    return found
