"""Explanation of a judgement: the path of its test."""

from math import isfinite

import numpy as np
from numpy.typing import NDArray

from mutant_guard.decision.sequential.policies import Policy
from mutant_guard.runtime.judgement import Judgement
from mutant_guard.wire.verdict import Explanation


def explain(policy: Policy, judgement: Judgement) -> Explanation:
    """Retrace a policy's test on a judgement's evidence, and say where it would decide."""
    met = np.arange(1, len(judgement.labels) + 1)
    test, boundaries, unit = policy.statistic, policy.boundaries, policy.evidence.unit
    changed = np.array(judgement.label_changed, dtype=np.bool_)
    return Explanation(
        own_evidence=_share(judgement.own_evidence, unit),
        evidence=[_share(said, unit) for said in judgement.evidence],
        operators=judgement.operators,
        log_ratio=None if test is None else _finite(test.log_ratio(np.cumsum(changed), met)),
        label_changed=judgement.label_changed,
        adversarial_bound=None if test is None else test.lower,
        normal_bound=None if test is None else test.upper,
        normal_at_most=[_share(bound, unit) for bound in boundaries.normal_at_most[met].tolist()],
        adversarial_at_least=[_share(bound, unit) for bound in boundaries.adversarial_at_least[met].tolist()],
    )


def _share(units: int, unit: int) -> float:
    return round(units / unit, 6)


def _finite(ratios: NDArray[np.float64]) -> list[float | None]:
    """Round log ratios, and replace infinite ones by None: JSON has no infinity."""
    return [ratio if isfinite(ratio) else None for ratio in np.round(ratios, 6).tolist()]
