"""Synthetic results, and the report on the small ones, made once."""

from pathlib import Path

import pytest

from evaluation.experiment.records.results import Results
from evaluation.report.write import write
from tests.support.results import synthetic


@pytest.fixture(scope="session")
def results() -> Results:
    """Return results with cells in every section, and few kinds and detectors."""
    return synthetic(small=True)


@pytest.fixture(scope="session")
def folder(results: Results, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the report on ``results`` to a folder. Tests must not change the folder."""
    folder = tmp_path_factory.mktemp("report")
    write(results, folder)
    return folder


@pytest.fixture(scope="session")
def page(folder: Path) -> str:
    """Return the text of the report's page."""
    return (folder / "report.md").read_text()
