"""Builders of policies, one for each test on label changes."""

from math import ceil, floor

import numpy as np

from mutant_guard.decision.sequential.boundaries import Boundaries
from mutant_guard.decision.sequential.characteristic import Characteristic, over_pool
from mutant_guard.decision.sequential.finite_pool import FinitePoolSprt
from mutant_guard.decision.sequential.policies import ROUNDING, ErrorBounds, Hypotheses, Policy
from mutant_guard.decision.sequential.sprt import Sprt


def sequential(name: str, test: Sprt, pool: int) -> Policy:
    """Build Algorithm 1 over a pool, with its bounds checked after every mutant.

    It is undecided where the pool ends before a decision. Its hypotheses are those of the test in
    whole label changes: at most p1 and at least p0 of the pool.
    """
    hypotheses = Hypotheses(floor(test.p1 * pool + ROUNDING), ceil(test.p0 * pool - ROUNDING))
    targets = ErrorBounds(test.alpha, test.beta)
    return Policy(name, test.boundaries(pool), pool, hypotheses, targets, test)


def without_replacement(name: str, test: FinitePoolSprt, false_alarm: float) -> Policy:
    """Build the sequential test on a finite pool; it never ends undecided.

    Args:
        name: the policy's name.
        test: the test.
        false_alarm: probability that sets the lower hypothesis: the largest label change count up
            to which alarms are at most this probable.
    """
    boundaries = test.boundaries()
    low = _low(over_pool(boundaries, np.arange(test.high), test.pool), false_alarm)
    targets = ErrorBounds(test.alpha, false_alarm)
    return Policy(name, boundaries, test.pool, Hypotheses(low, test.high), targets, test)


def fixed(name: str, mutants: int, threshold: int, pool: int, targets: ErrorBounds) -> Policy:
    """Build the fixed-size sampling test: a fixed number of mutants, then a threshold.

    Source: Wang et al. 2019, IV-B.

    Args:
        name: the policy's name.
        mutants: number of mutants that every request uses.
        threshold: least label changes among them of an adversarial input, 1 to ``mutants``.
        pool: number of mutants there are.
        targets: error probabilities; they hold exactly at the label change counts that become the
            policy's hypotheses.
    """
    normal, adversarial = np.full(mutants + 1, -1), np.arange(mutants + 1) + 1
    normal[-1], adversarial[-1] = threshold - 1, threshold
    boundaries = Boundaries(normal, adversarial)
    found = over_pool(boundaries, np.arange(pool + 1), pool)
    low = _low(found, targets.beta)
    high = int(np.flatnonzero(found.normal <= targets.alpha + ROUNDING)[0])
    return Policy(name, boundaries, pool, Hypotheses(low, high), targets)


def _low(found: Characteristic, false_alarm: float) -> int:
    """Return the largest count up to which an alarm is at most this probable.

    Without any label change an alarm is never more probable.
    """
    likely = np.flatnonzero(found.adversarial > false_alarm + ROUNDING)
    return int(likely[0]) - 1 if likely.size else found.adversarial.size - 1
