"""Size of 500 mutants on disk: a version of a store against as many stand-alone files."""

import json
from collections.abc import Callable

from benchmarks.bank.networks import load_network
from benchmarks.bank.pools import Pool, draw_pool
from benchmarks.figures import Figure, quantity
from benchmarks.sections import Section, Table, held
from mutant_store.bank.builder import Bank
from mutant_store.bank.files import bank_files

COUNT = 500

_SAMPLE = 10
_TARGETS = {"nai": 1.0, "ns": 1.0, "gf": 10.0, "ws": 10.0}
_RECORDED = 2500
"""Number of images whose label changes are kept, as by a build on 5,000."""

_REST = 16 * 1024
"""Bytes allowed for the calibration and for what the manifest holds beside its lists.

The demo's take 5 KB.
"""


def measure(say: Callable[[str], None]) -> Section:
    """Measure the size of every operator's mutants on ResNet-20."""
    network = load_network("resnet20")
    rows, figures = [], []
    for operator, target in _TARGETS.items():
        say(f"size of {COUNT} mutants: {network.title}, {operator}")
        pool = draw_pool(network, operator, COUNT)
        ours, theirs = version_bytes(pool.bank), stand_alone_bytes(pool)
        figure = Figure(f"{pool.key}_store_size", 100 * ours / theirs, "%", target, at_most=True)
        figures.append(figure)
        shown = [quantity(size / 1e6, "") for size in (ours, theirs)]
        rows.append([f"{network.title} {operator}", f"{pool.rate:g}", *shown, held(figure)])
    table = Table(
        f"{COUNT} mutants on disk, MB",
        ["", "rate", "store", "stand-alone ONNX", ""],
        rows,
        [
            f"store: the files of a version, label changes of {_RECORDED:,} images among them, {_REST // 1024} KiB "
            "allowed for its calibration and for the smaller entries of its manifest. Stand-alone: the mean of "
            f"{_SAMPLE} exported mutants, times {COUNT}.",
            *([network.note] if network.note else []),
        ],
    )
    return Section("Storage", [table], figures)


def version_bytes(bank: Bank, recorded: int = _RECORDED) -> int:
    """Return the bytes of all files of a store version of this bank.

    An allowance covers what is not in the bank.

    Args:
        bank: bank of the version.
        recorded: number of images whose label changes are kept.
    """
    files, tails = bank_files(bank)
    lists = {
        "candidates": [10 * number for number in range(len(bank.pool))],
        "accuracies": [1 / 3 for _ in bank.pool],
        "bank": [tail.mutants for tail in tails],
        "layers": [layer.name for layer in bank.parameters.layers],
    }
    label_changes = recorded * (-(-len(bank.pool) // 8) + 1)
    return sum(map(len, files.values())) + label_changes + len(json.dumps(lists, indent=1)) + _REST


def stand_alone_bytes(pool: Pool) -> float:
    """Return the bytes of all mutants as files of their own, from a sample spread over the pool."""
    count = len(pool.mutants)
    sizes = [
        pool.stand_alone.model(number).ByteSize() for number in range(1, count + 1, max(1, count // _SAMPLE))
    ]
    return count * sum(sizes) / len(sizes)
