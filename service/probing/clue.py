"""Clue in the pixels that relatives were made by a search, not taken by a camera."""

from typing import NamedTuple


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
"""Clue of a query whose place says nothing."""
