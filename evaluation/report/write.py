"""The report's folder: ``report.md``, ``results.json``, and the pictures.

The page and the pictures are made of ``results.json`` alone.
"""

from pathlib import Path

from pydantic import ValidationError

from evaluation.experiment.records.results import Results
from evaluation.report.cells import Cells
from evaluation.report.findings.page import findings
from evaluation.report.page import REPORT, RESULTS
from evaluation.report.pictures.plots import plots, possible
from evaluation.report.tables.baseline_tables import baseline_sections
from evaluation.report.tables.paper_tables import paper_sections
from evaluation.report.tables.robustness_tables import robustness_sections
from evaluation.report.tables.setup import setup_sections
from evaluation.report.tables.trained_tables import trained_sections
from mutant_guard.errors import DataError
from mutant_guard.store.atomic import write_atomically


def write(results: Results, folder: Path) -> None:
    """Write the report of an experiment; the same results give the same bytes.

    Raises:
        OSError: the folder or a file cannot be written.
    """
    pictures = plots(results)
    write_atomically(folder / RESULTS, (results.model_dump_json(indent=1) + "\n").encode())
    for name, content in pictures.items():
        write_atomically(folder / name, content)
    write_atomically(folder / REPORT, markdown(results, list(pictures)).encode())
    for name in set(possible(results)) - set(pictures):  # pictures of earlier results that had more to show
        (folder / name).unlink(missing_ok=True)


def markdown(results: Results, pictures: list[str]) -> str:
    """Return the page; ``pictures`` are the names of those that lie beside it."""
    cells = Cells(results)
    parts = [
        f"# {results.title}",
        findings(cells),
        *trained_sections(cells),
        *paper_sections(cells, pictures),
        *baseline_sections(cells, pictures),
        *robustness_sections(cells, pictures),
        *setup_sections(results),
    ]
    return "\n\n".join(parts) + "\n"


def rerender(folder: Path) -> None:
    """Make the report anew from the ``results.json`` in its folder.

    Raises:
        DataError: there is no such file, or it is of another release.
    """
    path = folder / RESULTS
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror}); give the folder of an experiment that has run to its end"
        ) from error
    try:
        results = Results.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise DataError(
            f"{path} is not what this release writes ({place}: {first['msg']}); run the experiment again, or render "
            "it with the release that it is of"
        ) from error
    write(results, folder)
