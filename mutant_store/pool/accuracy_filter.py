"""Filter that keeps the mutants that are still accurate.

Wang et al. 2019, section III-B, ask for at least 90 % of the original's accuracy.
"""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mutant_guard.bank.bank_session import BankSession
from mutant_guard.bank.memory import kept_bytes
from mutant_guard.bank.pool import Mutant
from mutant_guard.bank.views import Images
from mutant_guard.decision.evidence.kinds import NO_LABEL
from mutant_guard.errors import ModelError
from mutant_store.pool.stopping_rule import StoppingRule, exact_rule, geometric_looks, sequential_rule

_TOGETHER = 64
_PATIENCE = 1024
_HOPELESS = 0.005


class HopelessError(ModelError):
    """Error for a search in which hardly any candidate is accurate enough."""


@dataclass
class Accepted:
    """Mutants accepted so far, in the order in which they were drawn.

    Attributes:
        candidates: numbers of the accepted draws.
        mutants: the accepted mutants.
        accuracies: accuracy of each mutant on the filter images that it was run on.
        drawn: number of candidates drawn.
    """

    candidates: list[int] = field(default_factory=list)
    mutants: list[Mutant] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)
    drawn: int = 0


@dataclass(frozen=True)
class AccuracyFilter:
    """Images and bar of the filter.

    Attributes:
        inputs: N images, of which an index gives what the bank reads.
        labels: int64 [N], the true labels.
        original_correct: number of images that the original classifies correctly.
        ratio: least accuracy of a mutant as a share of the original's.
        error: largest probability that a mutant is judged otherwise than on all images; 0 asks for
            the exact answer.
        seed: seed of the order in which the images are visited, which that probability is over.
    """

    inputs: Images
    labels: NDArray[np.int64]
    original_correct: int
    ratio: float
    error: float = 0.0
    seed: int = 0
    _known: dict[tuple[str, int], dict[int, list[NDArray[np.float32]]]] = field(
        default_factory=dict, repr=False, compare=False
    )

    def __getstate__(self) -> dict[str, Any]:
        """Return what is sent to other machines: the features that are known here stay."""
        return {**vars(self), "_known": {}}

    @property
    def needed(self) -> int:
        """Least number of images that a mutant must classify correctly."""
        return ceil(round(self.ratio * self.original_correct, 9))

    @cached_property
    def rule(self) -> StoppingRule:
        """Rule by which a mutant is judged before it has seen all images."""
        looks = geometric_looks(len(self.labels))
        if self.error:
            return sequential_rule(len(self.labels), self.needed, looks, self.error)
        return exact_rule(len(self.labels), self.needed, looks)

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """Order in which the images are visited, int64 [N], the same for all mutants."""
        return np.random.default_rng([self.seed, len(self.labels)]).permutation(len(self.labels))

    def judge(self, session: BankSession, mutants: int) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        """Judge which of the mutants 1 to ``mutants`` of a bank are accurate.

        A mutant leaves as soon as the rule allows, or gives scores that are not finite: in service
        such scores raise an alarm.

        Returns:
            Whether each mutant is accurate, bool [mutants], and its accuracy on the images that it
                has met, float64 [mutants].
        """
        hits, seen = np.zeros((2, mutants), dtype=np.int64)
        kept, lost = np.zeros((2, mutants), dtype=np.bool_)
        undecided = np.arange(mutants)
        start = 0
        for stop, low, high in zip(
            self.rule.looks, self.rule.reject_at_most, self.rule.accept_at_least, strict=True
        ):
            images = self.order[start:stop]
            labels = self._labels(session, start, images, undecided + 1)
            hits[undecided] += (labels == self.labels[images, None]).sum(axis=0)
            seen[undecided] = stop
            kept[undecided] = hits[undecided] >= high
            lost[undecided[(labels == NO_LABEL).any(axis=0)]] = True
            undecided = undecided[(hits[undecided] > low) & (hits[undecided] < high) & ~lost[undecided]]
            start = stop
            if not undecided.size:
                break
        return kept & ~lost, hits / seen

    def _labels(
        self, session: BankSession, start: int, images: NDArray[np.int64], mutants: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Return labels int64 [images, mutants] of a look, which begins at ``start`` of the order."""
        together = session.images_together(_TOGETHER)
        blocks = [images[first : first + together] for first in range(0, len(images), together)]
        return np.concatenate(
            [
                session.labels(
                    self.inputs[block],
                    mutants,
                    known=self._features(session, start + number * together, len(block)),
                )
                for number, block in enumerate(blocks)
            ]
        )

    def _features(
        self, session: BankSession, start: int, images: int
    ) -> dict[int, list[NDArray[np.float32]]] | None:
        """Return what earlier banks computed of the images from ``start`` of the order on.

        The features are kept as long as memory allows; None where they are not.
        """
        known = self._known.get((session.prefix_id, start))
        if known is not None or not session.prefix_id:
            return known
        held = sum(part.nbytes for look in self._known.values() for block in look.values() for part in block)
        if held + images * session.feature_bytes > kept_bytes():
            return None
        return self._known.setdefault((session.prefix_id, start), {})


def collect(
    filtering: AccuracyFilter,
    wanted: int,
    accepted: Accepted,
    *,
    draw: Callable[[int], Mutant],
    load: Callable[[list[Mutant]], BankSession],
    progress: Callable[[Accepted], None],
    chunk: int = 64,
    jobs: int = 1,
    executor: Executor | None = None,
) -> Accepted:
    """Draw candidates in order and keep the accurate ones until there are enough.

    Args:
        filtering: images and bar of the filter.
        wanted: number of mutants.
        accepted: mutants of an earlier run that stopped, or an empty one; changed in place.
        draw: candidate number → its mutant, a function of the seed and the number alone.
        load: a pool → a bank of it.
        progress: called after every chunk; whatever it saves is enough to go on from.
        chunk: number of candidates judged together, the unit of progress.
        jobs: number of chunks judged at a time. They are taken in order, so it changes nothing but
            the time.
        executor: judges the chunks, with all that ``draw`` and ``load`` hold; None takes threads.

    Returns:
        ``accepted``, with ``wanted`` mutants.

    Raises:
        HopelessError: hardly any candidate is accurate enough.
    """

    def judge(first: int) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        pool = [draw(number) for number in range(first, first + chunk)]
        session = load(pool)
        try:
            return filtering.judge(session, len(pool))
        finally:
            session.close()

    pending: deque[Future[tuple[NDArray[np.bool_], NDArray[np.float64]]]] = deque()
    following = accepted.drawn
    executor = executor or ThreadPoolExecutor(jobs, thread_name_prefix="filter")
    try:
        while len(accepted.candidates) < wanted:
            while len(pending) < jobs:
                pending.append(executor.submit(judge, following))
                following += chunk
            kept, accuracies = pending.popleft().result()
            first = accepted.drawn
            for place in np.flatnonzero(kept)[: wanted - len(accepted.candidates)].tolist():
                accepted.candidates.append(first + place)
                accepted.mutants.append(draw(first + place))
                accepted.accuracies.append(float(accuracies[place]))
            full = len(accepted.candidates) == wanted
            accepted.drawn = accepted.candidates[-1] + 1 if full else first + chunk
            progress(accepted)
            if accepted.drawn >= _PATIENCE and len(accepted.candidates) < _HOPELESS * accepted.drawn:
                raise HopelessError(
                    f"only {len(accepted.candidates)} of {accepted.drawn} mutants keep "
                    f"{filtering.ratio:.0%} of the original's accuracy"
                )
    finally:
        executor.shutdown(cancel_futures=True)
    return accepted
