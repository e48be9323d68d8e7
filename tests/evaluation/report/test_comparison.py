"""Comparisons that end above, below or level."""

import pytest

from evaluation.experiment.records.record import Interval
from evaluation.experiment.records.results import PaperValue
from evaluation.report.comparison import Order, compare, compare_with_paper, counted

_HALF = Interval(value=0.5, low=0.4, high=0.6)


@pytest.mark.parametrize(
    ("low", "high", "order"),
    [(0.1, 0.39, "above"), (0.1, 0.4, "level"), (0.6, 0.9, "level"), (0.61, 0.9, "below")],
)
def test_overlapping_intervals_are_level(low: float, high: float, order: str) -> None:
    assert compare(_HALF, Interval(value=low, low=low, high=high)) == order


def test_the_papers_interval_counts_where_it_has_one() -> None:
    assert compare_with_paper(_HALF, 0.39) == "above"
    assert compare_with_paper(_HALF, PaperValue(value=0.39)) == "above"
    assert compare_with_paper(_HALF, PaperValue(value=0.39, half_width=0.02)) == "level"
    assert compare_with_paper(_HALF, PaperValue(value=0.7, half_width=0.02)) == "below"


@pytest.mark.parametrize(
    ("orders", "said"),
    [
        (["above"], "better on the one kind"),
        (["below"] * 3, "worse on all 3 kinds"),
        (["level", "above", "level"], "better on 1 and level on 2 of 3 kinds"),
        (["below", "level", "above"], "better on 1, worse on 1 and level on 1 of 3 kinds"),
    ],
)
def test_counts_leave_out_what_is_on_none(orders: list[Order], said: str) -> None:
    assert counted(orders, "kind") == said
