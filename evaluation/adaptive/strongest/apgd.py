"""APGD: projected gradient descent that halves its steps where it makes no progress.

Croce, Hein: Reliable evaluation of adversarial robustness with an ensemble of diverse
parameter-free attacks. ICML 2020 (algorithm 1). Rows that need no more work drop out.
"""

from dataclasses import dataclass
from math import ceil
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evaluation.adaptive.strongest.balls import Ball

_KEPT = 0.75
"""Share α of the new step; the rest is momentum."""
_PROGRESS = 0.75
"""Share ρ of steps that must lower the loss, or the step is halved."""
_FIRST_CHECK, _LESS, _SHORTEST = 0.22, 0.03, 0.06


@dataclass(frozen=True, eq=False)
class Look:
    """Loss float32 [M] of rows, and its gradient float32 [M, C, H, W]."""

    loss: Tensor
    gradient: Tensor


class Objective(Protocol):
    """Loss to be lowered, row by row."""

    def look(self, images: Tensor, rows: NDArray[np.int64]) -> Look:
        """Return the loss and its gradient of images float32 [M, C, H, W] of rows int64 [M]."""

    def open(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Check which rows need more work, bool [M]."""


def checkpoints(steps: int) -> set[int]:
    """Return the numbers of steps after which a run of this many looks at its progress."""
    places, last, now = set(), 0.0, _FIRST_CHECK
    while now <= 1:
        places.add(max(1, ceil(round(now * steps, 6))))
        last, now = now, now + max(now - last - _LESS, _SHORTEST)
    return places


def apgd(objective: Objective, ball: Ball, clean: Tensor, start: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Lower the loss of every row.

    Args:
        objective: the loss; rows are numbered as ``clean`` is.
        ball: the images allowed.
        clean: float32 [M, C, H, W].
        start: float32 [M, C, H, W], images of the ball.
        steps: number of gradients.

    Returns:
        The image of the lowest loss of each row, float32 [M, C, H, W], and that loss float32 [M].
    """
    checks, last_check = checkpoints(steps), 0
    best, lowest = start.clone(), torch.full((len(clean),), torch.inf)
    best_gradient = torch.zeros_like(start)
    rows = np.arange(len(clean))
    now, before, around = start.clone(), start.clone(), clean
    previous = torch.full((len(rows),), torch.inf)
    sizes = torch.full((len(rows),), ball.largest)
    lowered = torch.zeros(len(rows))
    at_check, halved = torch.full((len(rows),), torch.inf), torch.zeros(len(rows), dtype=torch.bool)
    for number in range(1, steps + 1):
        found = objective.look(now, rows)
        lowered += found.loss < previous
        previous = found.loss
        better = torch.nonzero(found.loss < lowest[rows]).flatten()
        places = torch.from_numpy(rows)[better]
        lowest[places], best[places] = found.loss[better], now[better]
        best_gradient[places] = found.gradient[better]
        gradient = found.gradient
        left = objective.open(rows)
        if not left.all():
            chosen = torch.from_numpy(np.flatnonzero(left))
            rows = rows[left]
            now, before, around = now[chosen], before[chosen], around[chosen]
            previous, sizes, lowered = previous[chosen], sizes[chosen], lowered[chosen]
            at_check, halved, gradient = at_check[chosen], halved[chosen], gradient[chosen]
        if not len(rows) or number == steps:
            break
        if number in checks:
            least = lowest[rows]
            stuck = lowered < _PROGRESS * (number - last_check)
            stuck |= ~halved & (at_check <= least)
            sizes = torch.where(stuck, sizes / 2, sizes)
            again = torch.nonzero(stuck).flatten()
            where = torch.from_numpy(rows)[again]
            now[again], gradient[again] = best[where], best_gradient[where]
            before[again] = now[again]
            at_check, halved, last_check = least, stuck, number
            lowered = torch.zeros(len(rows))
        stepped = ball.project(now - ball.step(gradient, sizes), around)
        if number > 1:
            stepped = ball.project(now + _KEPT * (stepped - now) + (1 - _KEPT) * (now - before), around)
        before, now = now, stepped
    return best, lowest
