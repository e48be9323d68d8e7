"""Rejection sampling of queries that collide with earlier ones, as OARS does it.

Feng, Hooda, Mangaokar, Fawaz, Jha, Prakash: Stateful defenses for machine learning models are not
yet secure against black-box attacks. CCS 2023. The attacker learns from an answer that a query
collided, draws another in its place, and tunes how far apart its queries lie.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.queries.oracle import Oracle, Replies

Draw = Callable[[int], NDArray[Any]]
"""Function that draws a number of proposals [N, H, W, C]."""

_MOST_COLLIDING = 0.5


def accepted(oracle: Oracle, draw: Draw, count: int, redraws: int) -> tuple[NDArray[Any], Replies]:
    """Ask about ``count`` proposals, drawing anew those that collide.

    Args:
        oracle: oracle of the campaign.
        draw: function that draws proposals.
        count: number of proposals wanted.
        redraws: most times that a proposal is drawn anew.

    Returns:
        The proposals [N, H, W, C] asked last, and the replies; collided ones remain where all
        draws collided.

    Raises:
        CampaignOverError: the campaign is over.
    """
    images = draw(count)
    found = oracle.ask(images)
    for _ in range(redraws):
        places = np.flatnonzero(found.collided)
        if not len(places):
            break
        images[places] = draw(len(places))
        again = oracle.ask(images[places])
        for name in ("fooled", "costs", "collided", "refused"):
            getattr(found, name)[places] = getattr(again, name)
    return images, found


def least_spread(
    oracle: Oracle, draw_at: Callable[[float], Draw], spreads: list[float], probes: int
) -> float:
    """Return the least of ascending spreads at which at most half of the proposals collide.

    The widest is returned where all collide.

    Raises:
        CampaignOverError: the campaign is over.
    """
    for spread in spreads:
        if oracle.ask(draw_at(spread)(probes)).collided.mean() <= _MOST_COLLIDING:
            return spread
    return spreads[-1]
