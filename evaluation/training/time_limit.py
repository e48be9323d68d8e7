"""Number of epochs that fit into a time, so that the learning rate has fallen when it is over."""

from collections.abc import Sequence
from statistics import median

_SETTLING = 3
"""Epochs after which the plan only shrinks: the first take longer, and are no measure."""


def fitting_epochs(limit: int, planned: int, finished: int, seconds: Sequence[float], left: float) -> int:
    """Return the number of epochs to plan for.

    Args:
        limit: most epochs.
        planned: number planned for so far.
        finished: number of epochs finished.
        seconds: time of each epoch of this run, at least one; the first counts only while it is
            alone.
        left: seconds left.
    """
    each = median(seconds[1:] or seconds)
    fitting = finished + max(0, int(left / each))
    return min(limit if len(seconds) < _SETTLING else planned, fitting)
