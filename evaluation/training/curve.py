"""Curve of a training run as a CSV file, one row an epoch, that goes on where the run does."""

import csv
import io
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from mutant_guard.store.atomic import write_atomically


@dataclass(frozen=True)
class Point:
    """Row of one epoch.

    Attributes:
        epoch: number of the epoch, counted from 1.
        loss: mean over the training images.
        accuracy: share of the training images labelled rightly, 0 to 1.
        holdout: share of the held-out images labelled rightly, or None where the data has none.
        seconds: time of the epoch, the held-out images included.
    """

    epoch: int
    loss: float
    accuracy: float
    holdout: float | None
    seconds: float


_COLUMNS = [field.name for field in fields(Point)]


class TrainingCurve:
    """File of a run's curve, whole after every epoch."""

    def __init__(self, path: Path, finished: int) -> None:
        """Keep the rows of the first ``finished`` epochs; later rows are of epochs trained again.

        Nothing is written before the next row is. A file that holds no curve counts as none.
        """
        self._path = path
        self._rows = [row for row in _read(path) if int(row[0]) <= finished]

    def append(self, point: Point) -> None:
        """Write the file with one more row.

        Raises:
            OSError: the file cannot be written.
        """
        self._rows.append([_text(value) for value in astuple(point)])
        file = io.StringIO()
        csv.writer(file, lineterminator="\n").writerows([_COLUMNS, *self._rows])
        write_atomically(self._path, file.getvalue().encode())


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _read(path: Path) -> list[list[str]]:
    try:
        rows = list(csv.reader(io.StringIO(path.read_text())))
    except (OSError, ValueError, csv.Error):
        return []
    if rows[:1] != [_COLUMNS]:
        return []
    return [row for row in rows if len(row) == len(_COLUMNS) and row[0].isdecimal()]
