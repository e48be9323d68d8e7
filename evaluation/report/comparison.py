"""How two figures compare, given their intervals."""

from typing import Literal

from evaluation.experiment.results import Interval, PaperValue

Order = Literal["above", "level", "below"]

MARKS: dict[Order, str] = {"above": " ▲", "level": "", "below": " ▼"}
"""Behind a figure that lies above or below the one it is compared with."""


def compare(ours: Interval, other: Interval) -> Order:
    """``level`` where the intervals overlap."""
    if ours.low > other.high:
        return "above"
    if ours.high < other.low:
        return "below"
    return "level"


def compare_with_paper(ours: Interval, paper: PaperValue | float) -> Order:
    """``level`` where the paper's figure, with its interval if it has one, overlaps ours."""
    value, half = (paper, 0.0) if isinstance(paper, float | int) else (paper.value, paper.half_width or 0.0)
    return compare(ours, Interval(value=value, low=value - half, high=value + half))
