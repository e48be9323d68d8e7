from math import factorial, log

import numpy as np
import pytest
from scipy import special

from mutant_guard.decision.sequential.combinatorics import log_factorials


@pytest.mark.parametrize("largest", [0, 1, 2, 20])
def test_they_are_the_logs_of_the_factorials(largest: int) -> None:
    expected = [log(factorial(n)) for n in range(largest + 1)]
    assert log_factorials(largest).tolist() == pytest.approx(expected, abs=1e-13)


def test_they_stay_accurate_in_pools_of_any_size() -> None:
    expected = special.gammaln(np.arange(10_001) + 1)
    assert np.abs(log_factorials(10_000) - expected).max() < 1e-9


def test_what_callers_share_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        log_factorials(5)[2] = 0
