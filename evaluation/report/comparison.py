"""Comparison of two figures, given their intervals."""

from collections.abc import Iterable, Sequence
from typing import Literal

from evaluation.experiment.records.record import Interval
from evaluation.experiment.records.results import PaperValue
from evaluation.report.markdown import listed, plural

Order = Literal["above", "level", "below"]

MARKS: dict[Order, str] = {"above": " ▲", "level": "", "below": " ▼"}
"""Mark behind a figure that lies above or below the one it is compared with."""

WORDS: dict[Order, str] = {"above": "better", "below": "worse", "level": "level"}
"""Word for the order of two figures."""


def compare(ours: Interval, other: Interval) -> Order:
    """Return the order of two figures: ``level`` where the intervals overlap."""
    if ours.low > other.high:
        return "above"
    if ours.high < other.low:
        return "below"
    return "level"


def compare_with_paper(ours: Interval, paper: PaperValue | float) -> Order:
    """Return the order of our figure and the paper's.

    It is ``level`` where the paper's figure, with its interval if it has one, overlaps ours.
    """
    value, half = (paper, 0.0) if isinstance(paper, float | int) else (paper.value, paper.half_width or 0.0)
    return compare(ours, Interval(value=value, low=value - half, high=value + half))


def orders(pairs: Iterable[tuple[Interval | None, Interval | None]]) -> list[Order]:
    """Return the order of each pair that has both figures."""
    return [compare(ours, other) for ours, other in pairs if ours is not None and other is not None]


def counted(found: Sequence[Order], noun: str) -> str:
    """Return, for example, ``better on 3, worse on 10 and level on 5 of 18 kinds``.

    A word that stands for none is left out.
    """
    counts = {word: found.count(order) for order, word in WORDS.items() if order in found}
    if len(counts) == 1:
        word = next(iter(counts))
        return f"{word} on all {len(found):,} {noun}s" if len(found) > 1 else f"{word} on the one {noun}"
    parts = [f"{word} on {count:,}" for word, count in counts.items()]
    return f"{listed(parts)} of {plural(len(found), noun)}"
