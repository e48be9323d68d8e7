"""Time against one quantity that varies: rows of a table, curves of a plot."""

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.figures import milliseconds
from benchmarks.interleave import Timing
from benchmarks.sections import Table


@dataclass(frozen=True)
class Point:
    """One thing to time: a number of mutants of each of a number of images."""

    network: str
    operator: str
    mutants: int
    images: int


@dataclass(frozen=True)
class Row:
    """One value of what varies: its label, its place on the axis, and the point of every curve."""

    label: str
    x: float
    points: Mapping[str, Point]


@dataclass(frozen=True)
class Sweep:
    """Points along an axis."""

    title: str
    axis: str
    rows: list[Row]

    @property
    def curves(self) -> list[str]:
        """Names of the curves."""
        return list(self.rows[0].points)

    def table(self, timings: Mapping[Point, Timing]) -> Table:
        """Return a table of median milliseconds, a column a curve."""
        rows = [
            [row.label, *(milliseconds(timings[point].median) for point in row.points.values())]
            for row in self.rows
        ]
        return Table(f"{self.title}, milliseconds", [self.axis, *self.curves], rows)

    def curve(self, name: str, timings: Mapping[Point, Timing]) -> tuple[list[float], list[float]]:
        """Return positions on the axis and median milliseconds of one curve."""
        return (
            [row.x for row in self.rows],
            [1000 * timings[row.points[name]].median for row in self.rows],
        )
