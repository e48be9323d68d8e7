"""Time and memory that a memory of a million queries takes."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from benchmarks.figures import Figure, quantity
from benchmarks.sections import Section, Table, held
from evaluation.server import ORDER_KEY
from service.probing.fingerprint import SKETCH, TABLES, WINDOWS, Fingerprint, Print
from service.probing.memory import QueryMemory

_ENTRIES, _QUICK = 1_000_000, 100_000
_BLOCK = 10_000
_REQUESTS = 2000
_PARTS = ("fingerprint", "new", "relative")
_SHAPES = {(28, 28, 1): 0.06, (32, 32, 3): None, (224, 224, 3): 0.5}
"""Sizes of images, each with the most milliseconds that a request may take longer."""
_STATUS = Path("/proc/self/statm")
_PAGE = 4096


def measure(quick: bool, say: Callable[[str], None]) -> Section:
    """Fill a memory with a million strangers' queries, and time queries of its own kind."""
    entries = _QUICK if quick else _ENTRIES
    say(f"memory of {entries:,} queries")
    random = np.random.default_rng(0)
    nowhere = np.zeros(SKETCH, np.float32)
    before = _resident()
    memory = QueryMemory(entries, 1e9, radius=10.0)
    started = perf_counter()
    for _ in range(0, entries, _BLOCK):
        tokens = random.integers(0, 2**64, (_BLOCK, TABLES), dtype=np.uint64)
        sketches = random.integers(0, 256, (_BLOCK, SKETCH), dtype=np.uint8)
        windows = random.integers(1, 2**64, (_BLOCK, WINDOWS), dtype=np.uint64)
        for each, sketch, around in zip(tokens, sketches, windows, strict=True):
            print_ = Print(each, sketch, around, detail=sketch, place=nowhere, even=nowhere)
            memory.seen(print_, random.bytes(32), "another", 0.0)
    filling = perf_counter() - started
    taken = _resident() - before
    say("time of a query")
    medians = _timed(memory, _REQUESTS // (10 if quick else 1), random)
    rows, figures = [], []
    for (height, width, channels), target in _SHAPES.items():
        shape = (height, width, channels)
        found = [medians[shape, part] for part in _PARTS]
        figure = Figure(f"probing_{height}_request", max(found[1:]), "ms", target, True)
        figures.append(figure)
        cells = [f"{value:.3f}" for value in found]
        rows.append([f"{height}×{width}×{channels}", *cells, held(figure)])
    size = Figure("probing_memory", taken / 1e6, "MB", 500.0, at_most=True)
    table = Table(
        "Time that a request takes longer, ms",
        ["image", "fingerprint", "a new image", "a relative of the last", "the longer"],
        rows,
        [
            f"{entries:,} queries in memory, medians of {_REQUESTS:,} requests in turn: the "
            "fingerprint, the look-up, the entry and the count of the answer. The digest of the pixels is the cache's.",
            f"Filling took {quantity(filling, 's')}: {1e6 * filling / entries:.0f} µs a query.",
        ],
    )
    bytes_table = Table(
        "Memory, MB",
        ["", "arrays", "resident"],
        [[f"{entries:,} queries", quantity(memory.nbytes / 1e6, ""), held(size)]],
        [f"Room for {memory.capacity:,} queries; resident is what the process grew by."],
    )
    return Section("A memory of queries", [table, bytes_table], [*figures, size])


def _timed(
    memory: QueryMemory, requests: int, random: np.random.Generator
) -> dict[tuple[tuple[int, int, int], str], float]:
    """Return medians in milliseconds by size of the images and part, all measured in turn."""
    prints = {shape: Fingerprint(ORDER_KEY.encode(), *shape) for shape in _SHAPES}
    fixed = {shape: _picture(shape, random) for shape in _SHAPES}
    took: dict[tuple[tuple[int, int, int], str], list[float]] = {}
    for _ in range(requests):
        for shape, fingerprint in prints.items():
            noise = random.integers(-3, 4, shape)
            relative = np.clip(fixed[shape] + noise, 0, 255).astype(np.uint8)
            for part, image in (("new", _picture(shape, random)), ("relative", relative)):
                digest = sha256(image.tobytes()).digest()
                started = perf_counter()
                print_ = fingerprint.of(image)
                printed = perf_counter()
                seen = memory.seen(print_, digest, "me", 1.0)
                memory.answered(seen, 3, False, 0.9)
                ended = perf_counter()
                took.setdefault((shape, part), []).append(ended - started)
                took.setdefault((shape, "fingerprint"), []).append(printed - started)
    return {key: 1000 * median(seconds) for key, seconds in took.items()}


def _picture(shape: tuple[int, int, int], random: np.random.Generator) -> NDArray[np.uint8]:
    """Return an image of large patches, which is near no other one."""
    height, width, channels = shape
    coarse = random.integers(0, 256, (4, 4, channels), dtype=np.uint8)
    rows, columns = np.arange(height) * 4 // height, np.arange(width) * 4 // width
    return np.ascontiguousarray(coarse[rows][:, columns])


def _resident() -> int:
    return int(_STATUS.read_text(encoding="ascii").split()[1]) * _PAGE
