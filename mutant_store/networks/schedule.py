"""The learning rate over a training run."""

import math

_WARM_UP = 0.15
"""Share of the steps over which the learning rate rises to its peak."""


def learning_rate(step: int, total: int, peak: float) -> float:
    """A linear rise to the peak, then half a cosine down to nearly nothing at the last of ``total`` steps."""
    warm_up = max(1, int(_WARM_UP * total))
    if step < warm_up:
        return peak * (step + 1) / warm_up
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warm_up) / (total - warm_up)))
