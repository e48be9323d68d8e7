"""Intervals of counts, as results hold them."""

import pytest

from evaluation.experiment.records.intervals import counted, exact
from mutant_guard.decision.calibration.intervals import clopper_pearson


def test_a_count_has_its_exact_interval() -> None:
    found = counted(3, 20)
    assert (found.value, found.low, found.high) == pytest.approx((0.15, 0.0321, 0.3789), abs=1e-4)
    assert exact(clopper_pearson(3, 20)) == found
