"""Latest queries of a sequence, and the clues in their pixels that a search made them."""

import numpy as np
from numpy.typing import NDArray

from service.probing.clue import NOTHING, Clue
from service.probing.fingerprint import SKETCH, STEPS, Print

MEMBERS = 16
"""Latest queries of a sequence that a new one is compared with."""

_SQUARE = np.float32(SKETCH * STEPS**2)
"""Sum of squares of a detail's steps that a distance of one grey level is."""
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
"""Square of the shortest distance from a centre, in grey levels.

The limits were chosen on attacks and natural streams of MNIST's holdout and CIFAR-10's first 3,000
test images.
"""
LIMITS = (
    *(MEMBERS, _HALVINGS, _HALVED, _ROUNDING, _SHORTEST),
    *(_ARMS, _CENTRAL, _ACROSS, *_ALIKE, _LEAST),
)
"""All that clues depend on beside fingerprints, so that kept results of others are told apart."""

Products = NDArray[np.float32]


class Latest:
    """Details of the latest queries of a sequence."""

    __slots__ = ("_count", "_details")

    def __init__(self, details: bytes | NDArray[np.uint8]) -> None:
        """Begin with details.

        Args:
            details: uint8 [N, SKETCH] or [SKETCH], the oldest first, at most ``MEMBERS``.
        """
        given = np.frombuffer(details, np.uint8).reshape(-1, SKETCH)
        self._details = np.zeros((MEMBERS, SKETCH), np.uint8)
        self._count = len(given)
        self._details[: len(given)] = given

    def add(self, detail: NDArray[np.uint8]) -> None:
        """Take in the detail of the next query, in the place of the oldest where there are too many."""
        self._details[self._count % MEMBERS] = detail
        self._count += 1

    def clue(self, print_: Print) -> Clue:
        """Return what the place of the next query among the latest ones says.

        Changes of brightness and contrast are left out where samples are looked for: clipped noise
        makes dark images brighter, all alike.
        """
        count = min(self._count, MEMBERS)
        if count < 2:
            return NOTHING
        latest = [(self._count - back) % MEMBERS for back in range(1, min(_HALVINGS + 1, count) + 1)]
        halvings = _halvings(np.concatenate([print_.detail[None], self._details.take(latest, axis=0)]))
        if count <= _ARMS:
            return Clue(halvings)
        ways = np.empty((count + 2, SKETCH), np.float32)
        ways[:count] = (self._details[:count] - print_.detail).view(np.int8)
        ways[count], ways[count + 1] = print_.place, print_.even
        return Clue(halvings, _sampled(ways @ ways.T / _SQUARE))


def _halvings(details: NDArray[np.uint8]) -> int:
    """Return how many of the latest steps are half of the one before, in a row.

    Args:
        details: uint8 [N, SKETCH], those of the latest queries, the latest first.
    """
    steps = (details[:-1] - details[1:]).view(np.int8).astype(np.float32)
    products = (steps @ steps.T / _SQUARE).tolist()
    for step in range(len(steps) - 1):
        square, before, along = products[step][step], products[step + 1][step + 1], products[step][step + 1]
        if square < _SHORTEST or square + before / 4 - abs(along) > _HALVED * square + _ROUNDING:
            return step
    return len(steps) - 1


def _sampled(products: Products) -> bool:
    """Check whether the query is one of several samples around the nearest of others.

    Args:
        products: scalar products of the ways from the query to the others, its own place and the
            direction of brightness.
    """
    own, bright = products[-2], products[-1]
    along = own[-1] / bright[-1]
    contrast = own[:-2] - along * bright[:-2]
    length = max(float(own[-2] - along * own[-1]), 1.0 / SKETCH)
    others = products[:-2, :-2]
    squares = others.diagonal() - bright[:-2] ** 2 / bright[-1] - contrast**2 / length
    ordered = sorted(squares.tolist())
    square = ordered[0]
    if square < _LEAST or square > _CENTRAL * ordered[(len(ordered) + 1) // 2]:
        return False
    centre = int(squares.argmin())
    others = others - np.outer(bright[:-2], bright[:-2]) / bright[-1] - np.outer(contrast, contrast) / length
    # Products of the ways from the centre to the others.
    ways = others - others[centre] - others[:, centre, None] + square
    lengths = np.sqrt(np.maximum(ways.diagonal(), 1e-9))
    across = np.abs(ways) <= _ACROSS * lengths * lengths[:, None]
    arms = np.abs(square - others[centre]) <= _ACROSS * square**0.5 * lengths
    arms &= (lengths**2 >= _ALIKE[0] * square) & (lengths**2 <= _ALIKE[1] * square)
    arms[centre] = False
    chosen: list[int] = []
    for arm in np.flatnonzero(arms).tolist():
        if across[arm, chosen].all():
            chosen.append(arm)
    return len(chosen) >= _ARMS
