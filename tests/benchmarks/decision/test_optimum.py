from itertools import pairwise

import numpy as np
import pytest

from benchmarks.decision.optimum import fewest_mutants
from mutant_guard.decision.sequential.characteristic import over_pool
from mutant_guard.decision.sequential.finite_pool import FinitePoolSprt, Mixture

POOL = 40
CLEAN = np.random.default_rng(0).binomial(POOL, np.random.default_rng(1).beta(0.5, 12, 400))


def limit(test: FinitePoolSprt) -> tuple[float, float]:
    """Return the mean mutants of a test on the clean images, and the bound for its error rates."""
    found = over_pool(test.boundaries(), np.arange(POOL + 1), POOL)
    miss, false_alarm = float(found.normal[test.high]), float(found.adversarial[CLEAN].mean())
    bound = fewest_mutants(CLEAN, CLEAN, test.high, POOL, false_alarm=false_alarm, miss=miss)
    return float(found.mutants[CLEAN].mean()), bound


@pytest.mark.parametrize("high", [6, 10, 20])
@pytest.mark.parametrize("normal", [Mixture((1,), (1.0,)), Mixture.of_images(CLEAN, 6)])
def test_no_test_needs_less_than_the_bound(high: int, normal: Mixture) -> None:
    mutants, bound = limit(FinitePoolSprt(POOL, normal, high, 0.1, 0.02))
    assert 0 < bound <= mutants + 1e-6


def test_the_bound_is_near_for_a_test_made_for_these_images() -> None:
    mutants, bound = limit(FinitePoolSprt(POOL, Mixture.of_images(CLEAN, 8), 16, 0.1, 0.02))
    assert mutants <= 1.15 * bound


def test_fewer_errors_cost_more() -> None:
    bounds = [
        fewest_mutants(CLEAN, CLEAN, 12, POOL, false_alarm=0.02, miss=miss) for miss in (0.4, 0.2, 0.1, 0.02)
    ]
    assert all(less < more for less, more in pairwise(bounds))


def test_without_changes_and_one_to_be_caught_the_bound_is_known() -> None:
    """Clean images never change, so only a lone change gives an image away.

    A miss of 1 − n/N takes n mutants, and no fewer reach it.
    """
    still = np.zeros(100, dtype=np.int64)
    bound = fewest_mutants(still, still, 1, POOL, false_alarm=0.0, miss=0.25)
    assert bound == pytest.approx(0.75 * POOL, rel=0.02)
