"""Counting what an attack achieves."""

import numpy as np
import pytest

from evaluation.adaptive.outcome import outcome, worst_case
from mutant_guard.decision.calibration.intervals import clopper_pearson

FOOLS = np.array([True, True, True, False, False])
ALARM = np.array([True, False, False, True, False])


def test_one_attack_is_counted() -> None:
    found = outcome(FOOLS, ALARM, 0.9)
    assert found.fooled == clopper_pearson(3, 5, 0.9)
    assert found.detected == clopper_pearson(1, 3, 0.9)
    assert found.evaded == clopper_pearson(2, 5, 0.9)
    assert found.robust == clopper_pearson(3, 5, 0.9)
    assert found.robust.low == pytest.approx(1 - found.evaded.high)


def test_nothing_is_detected_where_nothing_fools() -> None:
    found = outcome(np.zeros(4, dtype=bool), np.ones(4, dtype=bool))
    assert found.detected is None
    assert found.robust.rate == 1


def test_an_image_is_defended_only_against_all_attacks() -> None:
    second = np.array([True, False, False, True, False]), np.array([False, True, False, True, True])
    fools, alarm = worst_case([(FOOLS, ALARM), second])
    assert fools.tolist() == [True, True, True, True, False]
    assert (fools & ~alarm).tolist() == [True, True, True, False, False]
    assert outcome(fools, alarm).evaded.count == 3
    detected = outcome(fools, alarm).detected
    assert detected is not None
    assert (detected.count, detected.trials) == (1, 4)
    alone = outcome(*worst_case([(FOOLS, ALARM)]))
    assert alone == outcome(FOOLS, ALARM)


def test_arrays_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(ValueError, match="of the same images"):
        outcome(FOOLS, ALARM[:4])
    with pytest.raises(ValueError, match="N at least 1"):
        outcome(FOOLS[:0], ALARM[:0])
    with pytest.raises(ValueError, match="of the same images"):
        worst_case([(FOOLS, ALARM), (FOOLS[:3], ALARM[:3])])
    with pytest.raises(ValueError, match="at least one attack"):
        worst_case([])
