"""HopSkipJump on an oracle that reads 8-bit images, and its adaptive version.

Chen, Jordan, Wainwright: HopSkipJumpAttack: a query-efficient decision-based attack. S&P 2020 (L2).
The toolbox's noise and its binary search go below a grey level, which rounding takes back: its
estimates are then of nothing. Here noise has at least ``noise`` grey levels a pixel.
"""

from itertools import count

import numpy as np
from numpy.typing import NDArray

from evaluation.queries.attacks.problem import Problem
from evaluation.queries.attacks.rejection import Draw, accepted, least_spread
from evaluation.queries.oracle import LEVELS, Oracle
from evaluation.queries.settings import HopSkipJump

Image = NDArray[np.float64]
_FIRST_NOISE = 0.1
_SPREADS = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]
_PROBES = 4


def attack(oracle: Oracle, problem: Problem, settings: HopSkipJump) -> None:
    """Come nearer to the source along the boundary until the oracle ends it.

    Raises:
        CampaignOverError: the campaign is over.
    """
    if not oracle.ask(problem.start[None]).fooled[0]:
        return
    redraws = settings.redraws if settings.adaptive else 0
    current = _at_boundary(oracle, problem, problem.start, settings)
    noise = settings.noise / LEVELS
    for step in count():
        size = _spread(problem, current, step, noise)
        if settings.adaptive:
            size *= _apart(oracle, problem, current, size)
        number = min(int(settings.first_samples * np.sqrt(step + 1)), settings.most_samples)
        images, found = accepted(oracle, _noisy(problem, current, size), number, redraws)
        direction = _direction(images - current, found.fooled, ~found.refused)
        moved = _moved(oracle, problem, current, direction, step)
        if moved is not None:
            current = _at_boundary(oracle, problem, moved, settings)


def _spread(problem: Problem, current: Image, step: int, noise: float) -> float:
    """Return the standard deviation of the noise of a pixel."""
    pixels = current.size
    if step == 0:
        return float(max(_FIRST_NOISE / np.sqrt(pixels), noise))
    return max(float(np.linalg.norm(current - problem.source)) / pixels, noise)


def _apart(oracle: Oracle, problem: Problem, current: Image, size: float) -> float:
    """Return the least factor of the noise at which queries do not collide."""

    def drawn(factor: float) -> Draw:
        return _noisy(problem, current, size * factor)

    return least_spread(oracle, drawn, _SPREADS, _PROBES)


def _noisy(problem: Problem, current: Image, size: float) -> Draw:
    def draw(number: int) -> NDArray[np.float64]:
        drawn = problem.rng.standard_normal((number, *current.shape))
        return np.asarray(np.clip(current + size * drawn, 0, 1))

    return draw


def _direction(changes: Image, fooled: NDArray[np.bool_], answered: NDArray[np.bool_]) -> Image:
    """Return the estimated direction away from the source's label, of length 1."""
    changes, values = changes[answered], 2.0 * fooled[answered] - 1
    if not len(values):
        return np.zeros(changes.shape[1:])
    if abs(values.mean()) < 1:
        values = values - values.mean()
    mean = np.tensordot(values, changes, axes=1)
    return np.asarray(mean / (np.linalg.norm(mean) or 1.0))


def _moved(oracle: Oracle, problem: Problem, current: Image, direction: Image, step: int) -> Image | None:
    """Go along a direction, half as far each time, until the label is wrong; None where it never is."""
    length = float(np.linalg.norm(current - problem.source)) / np.sqrt(step + 1)
    while length * np.abs(direction).max() * LEVELS >= 0.5:
        moved: Image = np.clip(current + length * direction, 0, 1)
        if oracle.ask(moved[None]).fooled[0]:
            return moved
        length /= 2
    return None


def _at_boundary(oracle: Oracle, problem: Problem, far: Image, settings: HopSkipJump) -> Image:
    """Return the image nearest to the source on the line from it that was answered as fooled."""
    change = far - problem.source
    low, high = 0.0, 1.0
    while (high - low) * np.abs(change).max() * LEVELS > 1:
        middle = (low + high) / 2
        found = oracle.ask((problem.source + middle * change)[None])
        if settings.adaptive and found.collided[0] and not found.fooled[0]:
            break  # nearer images would collide as well, and what they say is no use
        low, high = (low, middle) if found.fooled[0] else (middle, high)
    return np.asarray(problem.source + high * change)
