"""Evasion in the report of an earlier experiment, whose store has no robust mutants."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from evaluation.evasion.results import EarlierCell
from evaluation.experiment.records.results import Results
from evaluation.report.cells import Cells, setting_name
from evaluation.report.tables.robustness_tables import WORST_CASE
from mutant_guard.errors import DataError

_SAME = 1e-6


def earlier_cells(folder: Path, sizes: Sequence[float]) -> list[EarlierCell]:
    """Return the worst case of each attacker that knows the method or the store, at these sizes.

    The policy is the one that a server runs by default.

    Args:
        folder: folder of the report.
        sizes: largest changes of a pixel.

    Raises:
        DataError: there is no such report, or it is of another release.
    """
    path = folder / "results.json"
    try:
        results = Results.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise DataError(
            f"{path} is no report of an experiment to stand beside this one; make it with python -m evaluation run, "
            "or leave out earlier"
        ) from error
    default = Cells(results).default
    name = None if default is None else setting_name(default)
    return [
        EarlierCell(
            detector=cell.detector,
            knowledge=cell.knowledge,
            size=size,
            images=cell.images,
            evading=cell.evading,
        )
        for size in sizes
        for cell in results.adaptive
        if (cell.attack, cell.detector) == (WORST_CASE, name)
        and cell.knowledge in {"method", "store"}
        and abs(cell.epsilon - size) < _SAME
    ]
