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
