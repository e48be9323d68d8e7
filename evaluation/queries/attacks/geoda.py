"""GeoDA: the boundary's normal estimated in a subspace of low frequencies.

Rahmati, Moosavi-Dezfooli, Frossard, Dai: GeoDA: a geometric framework for black-box adversarial
attacks. CVPR 2020 (L2). The toolbox's version draws noise below a grey level, has no limit on its
search for a start and writes a file into the working directory.
"""

from itertools import count

import numpy as np
from numpy.typing import NDArray
from scipy.fft import idctn

from evaluation.queries.attacks.problem import Problem
from evaluation.queries.oracle import LEVELS, Oracle
from evaluation.queries.settings import GeoDA

_FARTHEST = 100
_GROWTH = 0.6 ** (-2 / 3)
"""Growth of the number of samples from one estimate to the next (the paper's λ = 0.6)."""


def attack(oracle: Oracle, problem: Problem, settings: GeoDA) -> None:
    """Go to the boundary along its estimated normal, again and again, until the oracle ends it.

    Raises:
        CampaignOverError: the campaign is over.
    """
    boundary = _between(oracle, problem, _random_start(oracle, problem))
    normal = np.zeros_like(problem.source)
    for step in count():
        number = min(round(settings.first_samples * _GROWTH**step), settings.most_samples)
        noise = _low_frequencies(problem, number, settings)
        fooled = oracle.ask(np.clip(boundary + noise, 0, 1)).fooled
        normal += np.tensordot(2.0 * fooled - 1, noise, axes=1) / number
        far = _along(oracle, problem, normal / (np.linalg.norm(normal) or 1.0))
        if far is not None:
            boundary = _between(oracle, problem, far)


def _random_start(oracle: Oracle, problem: Problem) -> NDArray[np.float64]:
    """Return the source under noise that grows until the label is wrong; else the given start."""
    for step in range(1, _FARTHEST):
        noise = problem.rng.standard_normal(problem.source.shape)
        image = np.clip(problem.source + 0.02 * step * noise, 0, 1)
        if oracle.ask(image[None]).fooled[0]:
            return np.asarray(image)
    return problem.start


def _low_frequencies(problem: Problem, number: int, settings: GeoDA) -> NDArray[np.float64]:
    """Return noise of low frequencies [number, H, W, C], in grey levels of ``noise`` on average."""
    height, width, channels = problem.source.shape
    side = min(settings.frequencies, height, width)
    parts = np.zeros((number, height, width, channels))
    parts[:, :side, :side] = problem.rng.standard_normal((number, side, side, channels))
    noise = idctn(parts, axes=(1, 2), norm="ortho") * np.sqrt(height * width) / side
    return np.asarray(noise * settings.noise / LEVELS)


def _along(oracle: Oracle, problem: Problem, normal: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return the first image along the normal whose label is wrong; None where none is."""
    unit = problem.limit.size / 2
    for step in range(1, _FARTHEST):
        image = np.clip(problem.source + step * unit * normal, 0, 1)
        if oracle.ask(image[None]).fooled[0]:
            return np.asarray(image)
    return None


def _between(oracle: Oracle, problem: Problem, far: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = 0.0, 1.0
    change = far - problem.source
    while (high - low) * np.abs(change).max() * LEVELS > 1:
        middle = (low + high) / 2
        fooled = oracle.ask((problem.source + middle * change)[None]).fooled[0]
        low, high = (low, middle) if fooled else (middle, high)
    return np.asarray(problem.source + high * change)
