"""Quick judgement of mutants, on a few of the images that filter them."""

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mutant_guard.bank.bank_session import BankSession
from mutant_guard.bank.pool import Mutant
from mutant_store.loading.subject import Subject
from mutant_store.pool.accuracy_filter import AccuracyFilter

_IMAGES = 64


class FewImages:
    """Judgement of mutants on a few of the filter's images.

    Attributes:
        images: number of images.
        seconds: seconds that a mutant took, of the slowest judgement.
    """

    def __init__(
        self, whole: AccuracyFilter, subject: Subject, load: Callable[[list[Mutant]], BankSession]
    ) -> None:
        """Take the first images of a filter.

        Args:
            whole: the filter.
            subject: the classifier and its images.
            load: a pool → a bank of it.
        """
        part, some = subject.filter, whole.order[:_IMAGES]
        correct = int(part.correct[some].sum())
        self._filter = AccuracyFilter(
            part.inputs[some], part.labels[some], correct, whole.ratio, whole.error, whole.seed
        )
        self._load = load
        self.images, self.seconds = len(some), 0.0

    def judge(self, pool: list[Mutant]) -> NDArray[np.bool_]:
        """Return which mutants are accurate, bool [mutants]."""
        started = time.perf_counter()
        session = self._load(pool)
        try:
            kept, _ = self._filter.judge(session, len(pool))
        finally:
            session.close()
        self.seconds = max(self.seconds, (time.perf_counter() - started) / len(pool))
        return kept
