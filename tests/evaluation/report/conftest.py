"""Synthetic results, and the report made of the small ones once."""

from pathlib import Path

import pytest

from evaluation.experiment.records.results import Results
from evaluation.report.write import write
from tests.support.results import synthetic


@pytest.fixture(scope="session")
def results() -> Results:
    """Every section has cells; few kinds and detectors."""
    return synthetic(small=True)


@pytest.fixture(scope="session")
def folder(results: Results, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of ``results``. Not to be changed by tests."""
    folder = tmp_path_factory.mktemp("report")
    write(results, folder)
    return folder


@pytest.fixture(scope="session")
def page(folder: Path) -> str:
    """Its page."""
    return (folder / "report.md").read_text()
