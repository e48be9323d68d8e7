from math import sqrt

import numpy as np
import pytest
from scipy import stats

from mutant_guard.decision.evidence.label_change import label_change_rate, mean_rate


def test_rate_is_the_share_of_mutants_that_change_the_label() -> None:
    changes = np.array([[True, False, False, True], [False] * 4])
    assert label_change_rate(changes).tolist() == [0.5, 0.0]


@pytest.mark.parametrize("shape", [(3, 0), (4,)])
def test_rate_of_no_mutants_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="at least one mutant"):
        label_change_rate(np.zeros(shape, dtype=np.bool_))


def test_interval_of_the_mean_is_the_normal_one() -> None:
    rates = np.random.default_rng(0).random(400)
    found = mean_rate(rates, 0.99)
    low, high = stats.norm.interval(0.99, rates.mean(), rates.std(ddof=1) / sqrt(400))
    assert found.mean == pytest.approx(rates.mean())
    assert (found.mean - found.half_width, found.upper) == pytest.approx((low, high))


def test_one_image_has_no_interval() -> None:
    with pytest.raises(ValueError, match="at least 2 images"):
        mean_rate(np.array([0.5]))
