"""Results survive the file they are kept in."""

from math import inf

from evaluation.experiment.records.record import Interval
from evaluation.experiment.records.results import DistanceCell, Results
from tests.support.results import synthetic


def test_an_infinite_distance_survives_json() -> None:
    """Where no label of a normal image ever changes, every other kind is infinitely far."""
    interval = Interval(value=inf, low=3.0, high=inf)
    cell = DistanceCell(operator="ns", rate=0.01, kind="wrong", distance=interval, paper=None)
    results = synthetic(0, small=True).model_copy(update={"distances": [cell]})
    again = Results.model_validate_json(results.model_dump_json())
    assert again.distances == [cell]
    assert again == results
