"""What the consumed mutants agree on."""

import numpy as np
import pytest

from evaluation.experiment.measuring.suggestions import suggested, suggestion_cell
from evaluation.experiment.measuring.verdicts import Verdicts


def _verdicts(alarm: list[bool], mutants: list[int]) -> Verdicts:
    flags = np.array(alarm)
    return Verdicts(flags, ~flags, np.array(mutants), np.zeros(len(flags), dtype=np.int64), flags)


_LABELS = np.array([[3, 5, 5, 1], [2, 7, 7, 2], [4, 4, 0, 0], [9, 9, 9, 9]])


def test_the_first_met_among_equals_is_suggested() -> None:
    labels, shares = suggested(_LABELS, np.array([2, 4, 3, 0]))
    assert labels.tolist() == [3, 2, 4, -1]
    assert shares == pytest.approx([1 / 2, 1 / 2, 2 / 3, 0])


def test_alarms_alone_count() -> None:
    first = _verdicts([True, True, False, True], [2, 4, 3, 0])
    second = _verdicts([True, False, False, False], [3, 1, 1, 1])
    cell = suggestion_cell(
        "retrain", "calibrated", "pgd", np.array([5, 2, 4, 9]), [(first, _LABELS), (second, _LABELS)]
    )
    assert cell.alarms == 4
    assert cell.right is not None
    assert cell.right_of_all is not None
    assert cell.suggested is not None
    assert cell.suggested.value == pytest.approx(3 / 4)
    assert cell.right.value == pytest.approx(2 / 3)  # 3 and 2 of the first pool, 5 of the second
    assert cell.right_of_all.value == pytest.approx(4 / 4)
    assert cell.agreed == pytest.approx(np.mean([1 / 2, 1 / 2, 2 / 3]))


def test_without_alarms_nothing_is_said() -> None:
    cell = suggestion_cell(
        "retrain",
        "calibrated",
        "normal",
        np.zeros(4, dtype=np.int64),
        [(_verdicts([False] * 4, [1] * 4), _LABELS)],
    )
    assert (cell.alarms, cell.suggested, cell.right, cell.right_of_all, cell.agreed) == (
        0,
        None,
        None,
        None,
        None,
    )
