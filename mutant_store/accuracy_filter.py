"""Keep the mutants that are still accurate (Wang et al. 2019, section III-B: at least 90 % of the original)."""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil

import numpy as np
from numpy.typing import NDArray

from mutant_store.errors import ModelError
from mutant_store.session import BankSession

_CHUNK = 128
_IMAGE_BLOCK = 250
_PATIENCE = 1024
_HOPELESS = 0.005


@dataclass
class Accepted:
    """Mutants accepted so far, in the order they were drawn.

    Attributes:
        candidates: numbers of the accepted draws.
        choices: what each changes, int32 [k].
        accuracies: each one's accuracy on the filter images.
        drawn: how many candidates were drawn.
    """

    candidates: list[int] = field(default_factory=list)
    choices: list[NDArray[np.int32]] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)
    drawn: int = 0


@dataclass(frozen=True)
class AccuracyFilter:
    """The filter's images and its bar.

    Attributes:
        inputs: float32 [N, …].
        labels: int64 [N], the true labels.
        original_correct: how many the original gets right.
        ratio: least accuracy of a mutant as a share of the original's.
    """

    inputs: NDArray[np.float32]
    labels: NDArray[np.int64]
    original_correct: int
    ratio: float

    @property
    def needed(self) -> int:
        """Least number of correct images."""
        return ceil(round(self.ratio * self.original_correct, 9))

    def correct(self, session: BankSession, mutants: int) -> NDArray[np.int64]:
        """Correct images of mutants 1 to ``mutants`` of a bank, −1 for those below the bar.

        A mutant leaves as soon as it cannot reach the bar any more, which changes no outcome. Accepted ones
        are counted on every image.
        """
        hits = np.zeros(mutants, dtype=np.int64)
        alive = np.arange(mutants)
        for start in range(0, len(self.labels), _IMAGE_BLOCK):
            stop = min(start + _IMAGE_BLOCK, len(self.labels))
            labels = session.labels(self.inputs[start:stop], alive + 1)
            hits[alive] += (labels == self.labels[start:stop, None]).sum(axis=0)
            alive = alive[hits[alive] + len(self.labels) - stop >= self.needed]
            if not alive.size:
                break
        below = np.ones(mutants, dtype=np.bool_)
        below[alive] = False
        hits[below] = -1
        return hits


def collect(
    filtering: AccuracyFilter,
    wanted: int,
    accepted: Accepted,
    *,
    draw: Callable[[int], NDArray[np.int32]],
    load: Callable[[NDArray[np.int32]], BankSession],
    progress: Callable[[Accepted], None],
) -> Accepted:
    """Draw candidates in order and keep the accurate ones until there are enough.

    Args:
        filtering: the images and the bar.
        wanted: number of mutants.
        accepted: where an earlier run stopped, or an empty one; changed in place.
        draw: candidate number → its choice, a function of the seed and the number alone.
        load: pool int32 [M, k] → a bank of it.
        progress: called after every chunk; what it saves is enough to go on from.

    Raises:
        ModelError: hardly any candidate is accurate enough.
    """
    while len(accepted.candidates) < wanted:
        numbers = range(accepted.drawn, accepted.drawn + _CHUNK)
        pool = np.array([draw(number) for number in numbers], dtype=np.int32)
        hits = filtering.correct(load(pool), len(pool))
        for number, choice, count in zip(numbers, pool, hits, strict=True):
            if count < 0 or len(accepted.candidates) == wanted:
                continue
            accepted.candidates.append(number)
            accepted.choices.append(choice)
            accepted.accuracies.append(int(count) / len(filtering.labels))
        full = len(accepted.candidates) == wanted
        accepted.drawn = accepted.candidates[-1] + 1 if full else numbers.stop
        progress(accepted)
        if accepted.drawn >= _PATIENCE and len(accepted.candidates) < _HOPELESS * accepted.drawn:
            raise ModelError(
                f"only {len(accepted.candidates)} of {accepted.drawn} mutants keep "
                f"{filtering.ratio:.0%} of the original's accuracy; lower --rate (half of it is a good next try) "
                "or --accuracy-ratio"
            )
    return accepted
