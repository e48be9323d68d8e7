"""Search for the mutation rate: the largest at which a worthwhile share of mutants stays accurate."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mutant_guard.bank.pool import Mutant
from mutant_guard.errors import ModelError

LARGEST_RATE = 0.5
"""Largest rate that is tried: a mutant that changes most of a network is none of it."""

_FIRST = 0.01
_FACTOR = 4.0
"""Factor between rates until one is too high and another is not."""
_CLOSE = 1.5
"""Largest factor between the rate that is found and one that is too high."""
_FEW, _MORE = 6, 12
"""Mutants tried at a rate: a few decide clear cases, more the others."""
_WORTHWHILE = 1 / 3
"""Least share of accurate mutants.

Above it drawing costs little, and mutants that change more see more.
"""

Judge = Callable[[list[Mutant]], NDArray[np.bool_]]
"""Function that tells which mutants are accurate, bool [mutants]."""


@dataclass(frozen=True)
class Trial:
    """Result of a few mutants at a rate.

    Attributes:
        rate: the mutation rate.
        kept: number of accurate mutants.
        tried: number of mutants.
    """

    rate: float
    kept: int
    tried: int

    @property
    def share(self) -> float:
        """Share of accurate mutants."""
        return self.kept / self.tried


def find_rate(
    draw: Callable[[int, float], Mutant], judge: Judge, tell: Callable[[Trial], None] = lambda trial: None
) -> Trial:
    """Find the largest rate at which a third of the mutants stays accurate, up to a factor of 1.5.

    A bracket of rates is narrowed down; a rate is judged on 6 mutants, or on 12 where these decide
    nothing. The mutants are the first of those that the build draws, so the result is a function of
    the classifier, the images and the seed.

    Args:
        draw: number and rate → a mutant.
        judge: function that tells which mutants are accurate.
        tell: called with the result at every rate.

    Returns:
        The result at the rate that was found.

    Raises:
        ModelError: no rate is low enough, or the operator has nothing to change.
    """

    def tried(rate: float) -> Trial | None:
        """Try a rate; None where the operator has nothing to change at so low a rate."""
        try:
            pool = [draw(number, rate) for number in range(_MORE)]
        except ModelError:
            if rate >= LARGEST_RATE:
                raise
            return None
        kept, count = int(judge(pool[:_FEW]).sum()), _FEW
        if 0 < kept < _FEW * 2 / 3:
            kept, count = kept + int(judge(pool[_FEW:]).sum()), _MORE
        trial = Trial(rate, kept, count)
        tell(trial)
        return trial

    found, high = _bracket(draw, tried)
    while high is not None and high / found.rate > _CLOSE:
        middle = _rounded((high * found.rate) ** 0.5)
        if not found.rate < middle < high:
            break
        trial = tried(middle)
        if trial is not None and trial.share >= _WORTHWHILE:
            found = trial
        else:
            high = middle
    return found


def _bracket(
    draw: Callable[[int, float], Mutant], tried: Callable[[float], Trial | None]
) -> tuple[Trial, float | None]:
    """Return the result at a rate that is low enough, and a rate that is too high, None if none is.

    Raises:
        ModelError: no rate is low enough.
    """
    rate, high, found, last = _FIRST, None, None, None
    while True:
        trial = tried(rate)
        if trial is None:  # only a higher rate changes anything
            if high is not None or rate >= LARGEST_RATE:
                break
            rate = min(LARGEST_RATE, _rounded(rate * _FACTOR))
            continue
        last = trial
        if trial.share >= _WORTHWHILE:
            found = trial
            if high is not None or rate >= LARGEST_RATE:
                return found, high
            rate = min(LARGEST_RATE, _rounded(rate * _FACTOR))
        else:
            high = rate
            if found is not None:
                return found, high
            lower = _rounded(rate / _FACTOR)
            if _same_size(draw, rate, lower):
                break
            rate = lower
    said = f"at rate {last.rate:g}, {last.kept} of {last.tried} mutants do" if last else "nothing changes"
    raise ModelError(
        f"no mutation rate lets a third of the mutants keep the accuracy ({said}): lower --accuracy-ratio, restrict "
        "the mutants to some --layers, or take another operator"
    )


def _same_size(draw: Callable[[int, float], Mutant], rate: float, lower: float) -> bool:
    """Check whether mutants change as much at a lower rate: one neuron is the least."""
    try:
        sizes = [sum(part.size for part in draw(0, each).choice.values()) for each in (rate, lower)]
    except ModelError:
        return True
    return sizes[0] == sizes[1]


def _rounded(rate: float) -> float:
    """Return a rate that reads well; what is tried is what is used."""
    return float(f"{rate:.2g}")
