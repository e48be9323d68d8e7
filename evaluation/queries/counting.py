"""Campaigns counted."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.experiment.records.intervals import counted
from evaluation.queries.campaign import ENDS
from evaluation.queries.config import QueriesConfig, Scenario
from evaluation.queries.results import QueryCell
from evaluation.queries.settings import AttackSettings
from service.probing.policy import QueryPolicy

ALL = "all"
"""Name of all attacks of a scenario together."""

Numbers = NDArray[np.int64]


def cell(
    config: QueriesConfig, scenario: Scenario, attack: AttackSettings | None, found: dict[str, NDArray[Any]]
) -> QueryCell:
    """Return the figures of the campaigns of an attack in a scenario; None for all attacks of it."""
    count, budget = len(found["queries"]), scenario.budget or config.budget
    limit = None if attack is None else config.limit(attack.norm)
    evaded, seen = found["evaded"], found["seen"]
    remembered = scenario.memory is not QueryPolicy.OFF
    unseen = (evaded > 0) & ((seen < 0) | (evaded < seen))
    return QueryCell(
        scenario=scenario.name,
        attack=ALL if attack is None else attack.name,
        norm=None if limit is None else limit.norm,
        size=None if limit is None else limit.size,
        images=count,
        budget=budget,
        evaded=counted(int((evaded > 0).sum()), count),
        after={
            mark: float(((evaded > 0) & (evaded <= mark)).mean()) for mark in config.marks if mark < budget
        },
        misled=counted(int((found["misled"] > 0).sum()), count),
        seen=counted(int((seen > 0).sum()), count) if remembered else None,
        seen_median=quantile(seen, 0.5) if remembered else None,
        seen_95=quantile(seen, 0.95) if remembered else None,
        unseen=counted(int(unseen.sum()), count) if remembered else None,
        evaded_queries=float(np.median(evaded[evaded > 0])) if (evaded > 0).any() else None,
        queries=float(found["queries"].mean()),
        refusals=float(found["refusals"].mean()),
        ends={
            name: number for place, name in enumerate(ENDS) if (number := int((found["end"] == place).sum()))
        },
    )


def quantile(numbers: Numbers, share: float) -> float | None:
    """Return the least number that a share of all reaches; None where too many never do.

    Args:
        numbers: int64 [N], −1 standing for never.
        share: share of all.
    """
    ordered = np.sort(np.where(numbers < 0, np.inf, numbers.astype(np.float64)))
    found = float(ordered[max(int(np.ceil(share * len(ordered))) - 1, 0)])
    return found if np.isfinite(found) else None
