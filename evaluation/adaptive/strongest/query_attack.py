"""Square attack on what a guard answers: label, scores and summed doubt, but no gradient.

Andriushchenko, Croce, Flammarion, Hein: Square attack: a query-efficient black-box adversarial
attack via random search. ECCV 2020 (L∞). What is lowered is the evidence that the answer names:
the margin of the true label until it is lost, then the doubt that has to get below the alarm. The
toolbox's version asks three times a step and puts one square on all images of a batch.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from evaluation.adaptive.strongest.balls import Linf
from evaluation.adaptive.strongest.hunt import LEVELS, Hunt
from evaluation.adaptive.strongest.judge import Judge, Judged, Pixels

_FIRST_SHARE = 0.3
_HALVED_AT = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)
"""Shares of the queries after which the square's area is halved (the paper's schedule)."""


class Answering(Judge, Protocol):
    """Judge that also tells scores and doubts."""

    def doubted(self, pixels: Pixels) -> tuple[Judged, NDArray[np.float32], NDArray[np.float64]]:
        """Return verdicts, scores float32 [M, classes], and summed doubts float64 [M]."""


def square_attack(guard: Answering, hunt: Hunt, size: float, queries: int, seed: int) -> None:
    """Attack images by asking; what evades is kept in the hunt.

    Args:
        guard: the guard that is asked.
        hunt: images under attack, whose ``spent`` counts the queries.
        size: largest change of a pixel, of which whole 8-bit levels are used.
        queries: most queries an image.
        seed: seed of all random choices.
    """
    rng = np.random.default_rng(seed)
    radius = round(Linf(size).size * LEVELS)
    clean = hunt.pixels.astype(np.int16)
    height, width, channels = clean.shape[1:]
    labels = hunt.labels.numpy()
    stripes = rng.choice([-radius, radius], size=(len(clean), 1, width, channels))
    best = np.clip(clean + stripes, 0, LEVELS).astype(np.int16)
    costs = np.full(len(clean), np.inf)

    def ask(images: NDArray[np.int16], places: NDArray[np.int64]) -> None:
        pixels = images.astype(np.uint8)
        hunt.spent[places] += 1
        answers, scores, sums = guard.doubted(pixels)
        hunt.keep(answers, pixels, places)
        found = _costs(answers, scores, sums, labels[places])
        better = found < costs[places]
        costs[places[better]], best[places[better]] = found[better], images[better]

    ask(best.copy(), np.arange(len(clean)))
    for query in range(1, queries):
        places = np.flatnonzero(hunt.open)
        if not len(places):
            break
        halvings = int(np.searchsorted(_HALVED_AT, query / queries))
        share = _FIRST_SHARE / 2**halvings
        side = int(np.clip(round(np.sqrt(share * height * width)), 1, min(height, width) - 1))
        tops = rng.integers(0, height - side + 1, len(places))
        lefts = rng.integers(0, width - side + 1, len(places))
        rows, columns = np.arange(height), np.arange(width)
        inside = (rows >= tops[:, None]) & (rows < tops[:, None] + side)
        across = (columns >= lefts[:, None]) & (columns < lefts[:, None] + side)
        window = (inside[:, :, None] & across[:, None, :])[..., None]
        colours = rng.choice([-radius, radius], size=(len(places), 1, 1, channels))
        moved = np.clip(clean[places] + colours, 0, LEVELS)
        ask(np.where(window, moved, best[places]).astype(np.int16), places)


def _costs(
    answers: Judged, scores: NDArray[np.float32], sums: NDArray[np.float64], labels: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return what is lowered, float64 [M]: above 0 where the label is right, below it elsewhere."""
    right = scores[np.arange(len(labels)), labels].astype(np.float64)
    others = scores.astype(np.float64)
    others[np.arange(len(labels)), labels] = -np.inf
    wrong = answers.labels != labels
    return np.where(wrong, -1 / (1 + sums), np.maximum(right - others.max(axis=1), 0.0))
