"""From files to a published store: time and memory of ``mutant-store build`` with defaults."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Figure, megabytes, quantity
from benchmarks.sections import Section, Table, held
from evaluation.imagenet.photographs import Photographs
from evaluation.imagenet.stores import Built, build

_SECONDS, _MEGABYTES = 300.0, 2500.0


@dataclass(frozen=True)
class Pair:
    """Original with its companions.

    Attributes:
        original: name of the published classifier that is guarded.
        companions: names of its companions.
    """

    original: str
    companions: tuple[str, ...]

    @property
    def name(self) -> str:
        """Name of the store."""
        return "-".join((self.original, "by", *self.companions))


PAIRS = (Pair("lite0", ("lite1",)), Pair("lite2", ("lite0",)))
"""Stores that are built and served; the first has the targets of builds and memory."""


def measure(
    photographs: Photographs, models: Path, stores: Path, say: Callable[[str], None]
) -> tuple[Section, Mapping[Pair, Path]]:
    """Build every store anew.

    Args:
        photographs: the photographs.
        models: folder of the exported classifiers.
        stores: folder of the stores; those of the same names must not be there.
        say: callback that is told what is going on.

    Returns:
        What was measured, and where the stores are.

    Raises:
        ModelError: a build failed.
    """
    paths, costs = {}, {}
    for pair in PAIRS:
        say(f"building {pair.name}")
        paths[pair] = stores / pair.name
        costs[pair] = build(pair.original, pair.companions, photographs, models, paths[pair])
    figures = [figure for pair in PAIRS for figure in _figures(pair, costs[pair], pair == PAIRS[0])]
    rows = [[pair.name, quantity(costs[pair].seconds, "s"), megabytes(costs[pair].bytes)] for pair in PAIRS]
    notes = [f"{figure.name}: {held(figure)}" for figure in figures if figure.goal]
    images = (
        f"{len(photographs.calibrating)} photographs, defaults; the export of the classifiers is not counted."
    )
    table = Table("Builds", ["store", "from files to store", "peak memory, MB"], rows, [images, *notes])
    return Section("ImageNet: builds", [table], figures), paths


def _figures(pair: Pair, cost: Built, targets: bool) -> list[Figure]:
    key = pair.name.replace("-", "_")
    return [
        Figure(f"build_seconds_{key}", cost.seconds, "s", _SECONDS if targets else None, at_most=True),
        Figure(f"build_memory_{key}", cost.bytes / 1e6, "MB", _MEGABYTES if targets else None, at_most=True),
    ]
