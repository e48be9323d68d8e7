"""Learning rate over a training run."""

import math

_WARM_UP = 0.15
"""Share of the steps over which the learning rate rises to its peak."""


def learning_rate(step: int, total: int, peak: float) -> float:
    """Return the learning rate at one of ``total`` steps, counted from 0.

    It rises linearly to the peak, then falls along half a cosine to nearly nothing at the last
    step.
    """
    warm_up = max(1, int(_WARM_UP * total))
    if step < warm_up:
        return peak * (step + 1) / warm_up
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warm_up) / (total - warm_up)))


def trapezoid(step: int, total: int, peak: float, *, warm_up: float, fall: float) -> float:
    """Return the learning rate at one of ``total`` steps, counted from 0.

    It rises linearly to the peak, stays there, and falls linearly to nearly nothing at the last
    step.

    Args:
        step: number of the step.
        total: number of steps.
        peak: largest learning rate.
        warm_up: share of the steps over which it rises.
        fall: share of the steps over which it falls.
    """
    rising = (step + 1) / max(1.0, warm_up * total)
    falling = (total - step) / max(1.0, fall * total)
    return peak * min(1.0, rising, falling)
