"""Synthetic clean images for calibration."""

import numpy as np
from numpy.typing import NDArray

from mutant_guard.decision.calibration.calibration import CleanParts
from mutant_guard.decision.calibration.recording import Recording


def recording(images: int, seed: int, *, pool: int = 300, wrong: float = 0.05) -> Recording:
    """Draw the recording of clean images.

    Most images hardly ever change label, a few often do, and wrongly classified ones do in a third
    of the mutants.
    """
    rng = np.random.default_rng(seed)
    correct = rng.random(images) >= wrong
    rate = np.where(correct, rng.beta(0.3, 8, images), rng.beta(3, 6, images))
    return Recording(rng.random((images, pool)) < rate[:, None], correct)


def clean_parts(images: int, seed: int, *, pool: int = 300, wrong: float = 0.05) -> CleanParts:
    """Draw two independent parts of ``images`` images each."""
    certification = recording(images, seed + 1000, pool=pool, wrong=wrong)
    choice = recording(images, seed, pool=pool, wrong=wrong)
    return CleanParts(choice, certification, certification.shuffled(seed))


def with_counts(counts: NDArray[np.int64], pool: int, correct: NDArray[np.bool_] | None = None) -> Recording:
    """Return a recording with these label change counts, in which the changes stand first.

    All images are rightly classified by default.
    """
    right = np.ones(len(counts), dtype=np.bool_) if correct is None else correct
    return Recording(np.arange(pool) < counts[:, None], right)
