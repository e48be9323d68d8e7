"""How many epochs are planned for a time."""

import pytest

from evaluation.training.time_limit import fitting_epochs


@pytest.mark.parametrize(
    ("planned", "finished", "seconds", "left", "expected"),
    [
        (100, 1, [10.0], 95.0, 10),
        (10, 2, [10.0, 2.0], 93.0, 48),  # the first epoch takes longer, and is no measure
        (48, 3, [10.0, 2.0, 2.0], 300.0, 48),  # later it only shrinks
        (48, 3, [10.0, 2.0, 4.0], 60.0, 23),
        (100, 1, [1.0], 1e6, 100),  # never more than asked for
        (100, 5, [1.0, 1.0], -3.0, 5),  # it is over
    ],
)
def test_as_many_are_planned_as_fit(
    planned: int, finished: int, seconds: list[float], left: float, expected: int
) -> None:
    assert fitting_epochs(100, planned, finished, seconds, left) == expected
