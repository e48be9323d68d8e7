"""Figures and tables in Markdown."""

import pytest

from evaluation.experiment.records.record import Interval
from evaluation.experiment.records.results import PaperValue
from evaluation.report import markdown


def test_figures_carry_their_intervals() -> None:
    figure = Interval(value=0.974, low=0.968, high=0.9801)
    assert markdown.interval(figure) == "0.974 (0.968–0.980)"
    assert markdown.percent_interval(figure) == "97.4 (96.8–98.0) %"
    assert markdown.percent_around(Interval(value=0.027, low=0.024, high=0.029)) == "2.7 ± 0.3 %"
    assert markdown.paper_percent(PaperValue(value=0.027, half_width=0.003)) == "2.7 ± 0.3 %"
    assert markdown.paper_percent(PaperValue(value=0.027)) == "2.7 %"


def test_what_is_missing_is_a_dash() -> None:
    for written in (
        markdown.interval(None),
        markdown.percent(None),
        markdown.percent_interval(None),
        markdown.percent_around(None),
        markdown.paper_percent(None),
        markdown.number(None),
        markdown.plain(None),
    ):
        assert written == markdown.MISSING


@pytest.mark.parametrize(
    ("value", "written"),
    [(0.01234, "0.0123"), (4.567, "4.57"), (20.0, "20"), (501.0, "501"), (12345.6, "12,346"), (0.0, "0")],
)
def test_a_figure_of_any_size_has_three_places(value: float, written: str) -> None:
    assert markdown.plain(value) == written


@pytest.mark.parametrize(
    ("size", "written"),
    [(2 / 255, "2/255"), (0.03137255, "8/255"), (0.2, "0.2"), (0.15, "0.15"), (1.5 / 255, "0.00588")],
)
def test_small_shares_of_the_pixel_range_are_levels(size: float, written: str) -> None:
    assert markdown.of_range(size) == written


def test_a_table_is_not_broken_by_what_is_in_it() -> None:
    lines = markdown.table(["a", "b"], [["x | y", "1\n2"], ["", "3"]]).splitlines()
    assert lines == ["| a | b |", "| --- | ---: |", "| x \\| y | 1 2 |", "| – | 3 |"]


def test_names_are_listed() -> None:
    assert [markdown.listed(names) for names in ([], ["a"], ["a", "b", "c"])] == ["", "a", "a, b and c"]
