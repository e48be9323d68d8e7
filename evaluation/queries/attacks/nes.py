"""NES: gradients estimated by pairs of queries, and its adaptive version.

Ilyas, Engstrom, Athalye, Lin: Black-box adversarial attacks with limited queries and information.
ICML 2018 (L∞).
"""

import numpy as np
from numpy.typing import NDArray

from evaluation.queries.attacks.problem import Problem
from evaluation.queries.attacks.rejection import Draw, accepted, least_spread
from evaluation.queries.oracle import LEVELS, Oracle, Replies
from evaluation.queries.settings import Nes

Images = NDArray[np.float64]
_SPREADS = [1.0, 2.0, 4.0, 8.0, 16.0]
_PROBES = 4
_MOMENTUM = 0.9


def attack(oracle: Oracle, problem: Problem, settings: Nes) -> None:
    """Follow estimated gradients of the cost until the oracle ends it.

    Raises:
        CampaignOverError: the campaign is over.
    """
    current = problem.source.copy()
    gradient = np.zeros_like(current)
    step = settings.step * problem.limit.size
    redraws = settings.redraws if settings.adaptive else 0
    while True:
        spread = settings.noise / LEVELS
        if settings.adaptive:
            spread = _apart(oracle, problem, current, spread)
        images, found = accepted(oracle, _pairs(problem, current, spread), settings.samples, redraws)
        gradient = _MOMENTUM * gradient + (1 - _MOMENTUM) * _estimate(images - current, found)
        moved = problem.inside(current - step * np.sign(gradient))
        oracle.ask(moved[None])  # it may evade
        current = moved


def _apart(oracle: Oracle, problem: Problem, current: Images, spread: float) -> float:
    """Return the least noise at which queries do not collide."""

    def drawn(factor: float) -> Draw:
        return _pairs(problem, current, factor * spread)

    return spread * least_spread(oracle, drawn, _SPREADS, _PROBES)


def _pairs(problem: Problem, current: Images, spread: float) -> Draw:
    """Return a function that draws images around one, in opposite pairs."""

    def draw(number: int) -> Images:
        noise = problem.rng.standard_normal((-(-number // 2), *current.shape))
        both = np.concatenate([noise, -noise])[:number]
        return np.clip(current + spread * both, 0, 1)

    return draw


def _estimate(changes: Images, found: Replies) -> Images:
    """Return the estimated gradient of the cost, float64 [H, W, C], of length 1."""
    changes, costs = changes[~found.refused], found.costs[~found.refused]
    if not len(costs):
        return np.zeros(changes.shape[1:])
    mean = np.tensordot(costs - costs.mean(), changes, axes=1)
    return np.asarray(mean / (np.linalg.norm(mean) or 1.0))
