"""Clues in the pixels that relatives were made by a search, not taken by a camera."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.probing.fingerprint import SKETCH, STEPS, Print

MEMBERS = 16
"""Latest queries of a sequence that a new one is compared with."""

_SQUARE = float(SKETCH * STEPS**2)
"""Sum of squares of a sketch's steps that a distance of one grey level is."""
_HALVINGS = 3
_HALVED, _ROUNDING = 0.06, 0.05
"""Share of a step's square by which it may miss the half of the one before, and what rounding adds."""
_SHORTEST = 0.2
"""Square of the shortest step that is looked at, in grey levels."""
_ARMS = 3
_CENTRAL = 0.6
"""Most that the nearest query's square distance may be of the others' median one."""
_ACROSS = 0.25
"""Largest cosine of directions that count as perpendicular."""
_ALIKE = (0.7, 1.43)
"""Ratios of square distances from the centre that count as alike."""
_LEAST = 0.5
"""Square of the shortest distance from a centre, in grey levels."""


class Clue(NamedTuple):
    """What the place of a query among the latest ones of its sequence says.

    Attributes:
        halvings: number of latest steps in a row that each are half of the one before, onwards or
            back, as in a search for a boundary between two images; at most three.
        sampled: whether the query and three others lie around the nearest one at the same distance
            in directions perpendicular to each other, as samples around an image that was asked
            for do. Frames of a camera have no image amidst them that is without noise.
    """

    halvings: int = 0
    sampled: bool = False


NOTHING = Clue()


def clue(print_: Print, sketches: NDArray[np.uint8]) -> Clue:
    """Return what the place of a query among the latest ones of its sequence says.

    Changes of brightness and contrast are left out where samples are looked for: clipped noise
    makes dark images brighter, all alike.

    Args:
        print_: fingerprint of the query.
        sketches: uint8 [N, SKETCH], those of the latest queries, the oldest first.
    """
    if len(sketches) < 2:
        return NOTHING
    gaps = (sketches - print_.sketch).view(np.int8).astype(np.float32)
    return Clue(_halvings(gaps), len(gaps) > _ARMS and _sampled(print_, gaps))


def _halvings(gaps: NDArray[np.float32]) -> int:
    """Return how many of the latest steps are half of the one before, in a row."""
    latest = gaps[-1 - _HALVINGS :]
    steps = np.empty_like(latest)
    np.subtract(latest[1:], latest[:-1], out=steps[:-1])
    np.negative(latest[-1], out=steps[-1])
    products = (steps @ steps.T / _SQUARE).tolist()
    found = 0
    for this in range(len(latest) - 1, 0, -1):
        square = products[this][this]
        missed = square + products[this - 1][this - 1] / 4 - abs(products[this][this - 1])
        if square < _SHORTEST or missed > _HALVED * square + _ROUNDING:
            break
        found += 1
    return found


def _sampled(print_: Print, gaps: NDArray[np.float32]) -> bool:
    """Check whether the query is one of several samples around the nearest of others."""
    own = print_.place - (print_.place @ print_.even) * print_.even
    light = np.stack([print_.even, own / max(float(np.sqrt(own @ own)), 1.0)])
    shaded = gaps @ light.T
    squares = ((gaps * gaps).sum(axis=1) - (shaded * shaded).sum(axis=1)) / _SQUARE
    centre = int(squares.argmin())
    square = float(squares[centre])
    ordered = sorted(squares.tolist())
    if square < _LEAST or square > _CENTRAL * ordered[(len(ordered) + 1) // 2]:
        return False
    products = (gaps @ gaps.T - shaded @ shaded.T) / _SQUARE
    # Products of the ways from the centre: those of the others, and of the query with them.
    ways = products - products[centre] - products[:, centre, None] + square
    lengths = np.sqrt(np.maximum(ways.diagonal(), 1e-9))
    across = np.abs(ways) <= _ACROSS * lengths * lengths[:, None]
    arms = np.abs(square - products[centre]) <= _ACROSS * square**0.5 * lengths
    arms &= (lengths**2 >= _ALIKE[0] * square) & (lengths**2 <= _ALIKE[1] * square)
    arms[centre] = False
    chosen: list[int] = []
    for arm in np.flatnonzero(arms).tolist():
        if all(across[arm, other] for other in chosen):
            chosen.append(arm)
    return len(chosen) >= _ARMS
