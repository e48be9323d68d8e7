"""Fewest mutants that any test could need: a lower bound, for comparison with the policies.

Backward induction finds it.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from mutant_guard.decision.sequential.boundaries import Counts

Probabilities = NDArray[np.float64]


def fewest_mutants(
    everyone: Counts, correct: Counts, high: int, pool: int, *, false_alarm: float, miss: float
) -> float:
    """Return a lower bound on a clean image's mutants under any test of the same two error rates.

    A test that knew the clean images' label change counts beforehand would solve: least expected
    mutants, at most ``false_alarm`` alarms on rightly classified images, and at most ``miss`` of
    the inputs with ``high`` changes called normal. For any prices of the two errors the optimal
    test follows by backward induction (Arrow, Blackwell and Girshick, Econometrica 17, 1949), and
    its cost less the prices of the errors allowed bounds the solution from below (weak duality).
    The best prices found are used; worse ones would only give a lower bound that is less tight.

    Args:
        everyone: label change counts of clean images, int64 [images].
        correct: label change counts of those rightly classified, int64 [images].
        high: count at which misses are bounded.
        pool: number of mutants.
        false_alarm: probability of a false alarm that is allowed.
        miss: probability of a miss that is allowed.
    """
    cost = _seen(np.bincount(everyone, minlength=pool + 1) / everyone.size)
    alarm = _seen(np.bincount(correct, minlength=pool + 1) / correct.size)
    missed = _seen(np.bincount([high], minlength=pool + 1).astype(np.float64))

    def bound(log_prices: Probabilities) -> float:
        alarm_price, miss_price = np.exp(log_prices)
        least = _least_cost(cost, alarm, missed, float(alarm_price), float(miss_price))
        return float(least - alarm_price * false_alarm - miss_price * miss)

    start = np.log([20 / max(false_alarm, 1e-3), 20 / max(miss, 1e-3)])
    found = minimize(lambda x: -bound(x), start, method="Nelder-Mead", options={"maxfev": 150, "fatol": 1e-2})
    return float(bound(found.x))


def _seen(shares: Probabilities) -> list[Probabilities]:
    """Return P(z label changes among n mutants) for n = 0 … pool.

    ``shares`` is the distribution of counts over the whole pool.
    """
    seen = [shares]
    for n in range(shares.size - 2, -1, -1):
        z = np.arange(n + 1)
        more = seen[-1]
        seen.append(((n + 1 - z) * more[:-1] + (z + 1) * more[1:]) / (n + 1))
    return seen[::-1]


def _least_cost(
    cost: list[Probabilities],
    alarm: list[Probabilities],
    missed: list[Probabilities],
    alarm_price: float,
    miss_price: float,
) -> float:
    """Return the least sum of expected mutants and priced errors that a test can have."""
    value = np.minimum(alarm_price * alarm[-1], miss_price * missed[-1])
    for n in range(len(cost) - 2, -1, -1):
        z = np.arange(n + 1)
        further = cost[n] + ((n + 1 - z) * value[:-1] + (z + 1) * value[1:]) / (n + 1)
        value = np.minimum(further, np.minimum(alarm_price * alarm[n], miss_price * missed[n]))
    return float(value[0])
