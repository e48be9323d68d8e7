"""The Square attack on an oracle, one query a step, and its adaptive version.

Andriushchenko, Croce, Flammarion, Hein: Square attack: a query-efficient black-box adversarial
attack via random search. ECCV 2020 (L∞). The toolbox's version asks three times a step.
"""

from itertools import count

import numpy as np
from numpy.typing import NDArray

from evaluation.queries.attacks.problem import Problem
from evaluation.queries.attacks.rejection import accepted
from evaluation.queries.oracle import Oracle
from evaluation.queries.settings import Square

_HALVED_AT = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)
"""Shares of the queries after which the square's area is halved (the paper's schedule)."""
_WIDER = 1.5
_REMEMBERED = 10


def attack(oracle: Oracle, problem: Problem, settings: Square) -> None:
    """Lower the cost by random squares until the oracle ends it.

    Raises:
        CampaignOverError: the campaign is over.
    """
    height, width, channels = problem.source.shape
    size, rng = problem.limit.whole, problem.rng
    redraws = settings.redraws if settings.adaptive else 0
    stripes = rng.choice([-size, size], size=(1, 1, width, channels))
    best = problem.inside(problem.source + stripes)
    cost = float(oracle.ask(best).costs[0])
    wider, collisions = 1.0, [False] * _REMEMBERED
    for step in count(1):
        halvings = int(np.searchsorted(_HALVED_AT, step / settings.steps))
        share = settings.share / 2**halvings * wider
        side = int(np.clip(round(np.sqrt(share * height * width)), 1, min(height, width)))

        def draw(number: int, side: int = side, base: NDArray[np.float64] = best) -> NDArray[np.float64]:
            made = np.repeat(base, number, axis=0)
            for image in made:
                top, left = rng.integers(0, height - side + 1), rng.integers(0, width - side + 1)
                window = (slice(top, top + side), slice(left, left + side))
                image[window] = problem.source[window] + rng.choice([-size, size], size=channels)
            return problem.inside(made)

        images, found = accepted(oracle, draw, 1, redraws)
        if found.costs[0] < cost and not found.refused[0]:
            best, cost = images, float(found.costs[0])
        if settings.adaptive:
            collisions = [*collisions[1:], bool(found.collided[0])]
            crowded = sum(collisions) > _REMEMBERED / 2
            wider = min(wider * _WIDER, 1 / settings.share) if crowded else max(wider / _WIDER, 1.0)
