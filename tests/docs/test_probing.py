"""Tests that the figures in docs/probing.md are those of the reports."""

import pytest

from tests.support.pages import ROOT, page, rows
from tests.support.query_tables import query_rows, reported

PAGE = page("docs/probing.md")


@pytest.mark.parametrize("name", sorted(path.stem for path in ROOT.glob("evaluation/configs/queries-*.toml")))
def test_attacks_by_queries_get_as_far_as_the_reports_say(name: str) -> None:
    there = name in reported()
    assert (f"<!-- {name} -->" in PAGE) == there
    if there:
        assert rows(PAGE, name) == query_rows(name)
