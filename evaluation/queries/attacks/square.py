"""The Square attack on an oracle, one query a step, and its adaptive version.

Andriushchenko, Croce, Flammarion, Hein: Square attack: a query-efficient black-box adversarial
attack via random search. ECCV 2020 (L∞). The toolbox's version asks three times a step.
"""

from itertools import count

import numpy as np
from numpy.typing import NDArray

from evaluation.queries.attacks.problem import Problem
from evaluation.queries.attacks.rejection import accepted
from evaluation.queries.oracle import LEVELS, Oracle
from evaluation.queries.settings import Square

_HALVED_AT = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)
"""Shares of the queries after which the square's area is halved (the paper's schedule)."""
_WIDER = 1.5
_REMEMBERED = 10
_FIRST_NOISE = 2 / LEVELS

Images = NDArray[np.float64]


def attack(oracle: Oracle, problem: Problem, settings: Square) -> None:
    """Lower the cost by random squares until the oracle ends it.

    Raises:
        CampaignOverError: the campaign is over.
    """
    height, width, channels = problem.source.shape
    size = problem.limit.whole
    stripes = problem.rng.choice([-size, size], size=(1, 1, width, channels))
    best = problem.inside(problem.source + stripes)
    cost = float(oracle.ask(best).costs[0])
    apart = _Apart(size, 1 / settings.share)
    for step in count(1):
        halvings = int(np.searchsorted(_HALVED_AT, step / settings.steps))
        share = settings.share / 2**halvings * apart.wider
        side = int(np.clip(round(np.sqrt(share * height * width)), 1, min(height, width)))
        proposals = _Proposals(problem, best, side, apart.noise)
        _, found = accepted(oracle, proposals.draw, 1, settings.redraws if settings.adaptive else 0)
        if found.costs[0] < cost and not found.refused[0]:
            best, cost = proposals.latest, float(found.costs[0])
        if settings.adaptive:
            apart.learn(bool(found.collided[0]))


class _Proposals:
    """Images with a random square in place of what was there.

    Attributes:
        latest: float64 [1, H, W, C], the latest proposal, without noise.
    """

    def __init__(self, problem: Problem, best: Images, side: int, noise: float) -> None:
        self._problem, self._best, self._side, self._noise = problem, best, side, noise
        self.latest = best

    def draw(self, number: int) -> Images:
        """Return proposals with the noise by which the attacker keeps them apart."""
        problem, rng, size, side = self._problem, self._problem.rng, self._problem.limit.whole, self._side
        height, width, channels = problem.source.shape
        made = np.repeat(self._best, number, axis=0)
        for image in made:
            top, left = rng.integers(0, height - side + 1), rng.integers(0, width - side + 1)
            window = (slice(top, top + side), slice(left, left + side))
            image[window] = problem.source[window] + rng.choice([-size, size], size=channels)
        self.latest = problem.inside(made)
        if not self._noise:
            return self.latest
        return problem.inside(self.latest + self._noise * rng.uniform(-1, 1, made.shape))


class _Apart:
    """How far apart an attacker keeps its queries, by how many of the latest collided.

    Attributes:
        wider: factor of the area of squares.
        noise: noise on every pixel of a query, pixels from 0 to 1; the image that the search goes
            on from has none.
    """

    def __init__(self, size: float, widest: float) -> None:
        self.wider, self.noise = 1.0, 0.0
        self._widest, self._most_noise = widest, size / 2
        self._collisions = [False] * _REMEMBERED

    def learn(self, collided: bool) -> None:
        """Go farther apart while more than half collide, and back when fewer do."""
        self._collisions = [*self._collisions[1:], collided]
        if sum(self._collisions) > _REMEMBERED / 2:
            self.wider = min(self.wider * _WIDER, self._widest)
            self.noise = min(max(2 * self.noise, _FIRST_NOISE), self._most_noise)
        else:
            self.wider = max(self.wider / _WIDER, 1.0)
            self.noise = self.noise / 2 if self.noise > _FIRST_NOISE else 0.0
