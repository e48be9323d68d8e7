"""Intervals as results hold them, of resampled figures and of counts."""

from evaluation.experiment.records.record import Interval
from evaluation.metrics import Estimate
from mutant_guard.decision.calibration.intervals import Interval as Counted
from mutant_guard.decision.calibration.intervals import clopper_pearson


def resampled(found: Estimate) -> Interval:
    """Return the interval of a figure whose images were resampled."""
    return Interval(value=found.value, low=found.low, high=found.high)


def exact(found: Counted) -> Interval:
    """Return the interval of a counted rate."""
    return Interval(value=found.rate, low=found.low, high=found.high)


def counted(count: int, trials: int) -> Interval:
    """Return the rate of a count, with its exact 95 % interval."""
    return exact(clopper_pearson(count, trials))
