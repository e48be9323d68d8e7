"""The loaded mutant bank. Light: both the server and the offline tools import it."""

import hashlib
from collections.abc import MutableMapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mutant_store.cores import available_cores
from mutant_store.errors import StoreError
from mutant_store.own_tail import OwnTail
from mutant_store.pool import Mutant, is_whole, patch
from mutant_store.session import IMAGES, FloatArray, Model, open_session, run_session
from mutant_store.session_tail import SessionTail
from mutant_store.shared_tail import SharedTail
from mutant_store.tail import Tail, TailRecord

_ORIGINAL = -1
_IMAGES_TOGETHER = 64


class BankSession:
    """One pass over the images, then any mix of (image, mutant) rows.

    Rows are grouped by the entry point of their mutant; how a tail evaluates them is its own affair.

    Attributes:
        runs: how often rows were evaluated.
        prefix_id: banks where it is the same and not empty compute the same features.
    """

    def __init__(
        self,
        prefix: Model,
        tails: Sequence[TailRecord],
        *,
        pool: Sequence[Mutant] = (),
        parameters: FloatArray | None = None,
        providers: Sequence[str] = ("CPUExecutionProvider",),
        threads: int = 0,
    ) -> None:
        """Load a bank.

        Args:
            prefix: the original's graph, which gives every tail's features and the scores, these last.
            tails: what follows at each entry point.
            pool: the mutants; only needed where weights are not shared.
            parameters: the original's, float32 [P]; only needed where mutants change some of them.
            providers: execution providers in order of preference.
            threads: CPU threads; 0 takes all cores of this process.

        Raises:
            ModelError: onnxruntime cannot load a graph.
            StoreError: the tails do not hold every mutant once, or mutants of a tail are missing from the pool.
        """
        threads = threads or available_cores()
        self._prefix = open_session(prefix, providers=providers, threads=threads)
        self.prefix_id = hashlib.sha256(prefix).hexdigest() if isinstance(prefix, bytes) else ""
        *self._features, self._scores = [entry.name for entry in self._prefix.get_outputs()]
        classes = int(self._prefix.get_outputs()[-1].shape[1])
        numbers = [number for tail in tails for number in tail.mutants]
        if sorted(numbers) != list(range(1, len(numbers) + 1)):
            raise StoreError("the bank does not hold every mutant once; build the store again")
        self._tail_of = np.full(len(numbers) + 1, _ORIGINAL, dtype=np.int64)
        self._place = np.zeros(len(numbers) + 1, dtype=np.int64)
        self._tails: list[Tail] = []
        for record in tails:
            self._tail_of[list(record.mutants)] = len(self._tails)
            self._place[list(record.mutants)] = np.arange(len(record.mutants))
            self._tails.append(_open(record, pool, parameters, providers, threads, classes))
        self.runs = 0

    @property
    def provider(self) -> str:
        """The execution provider that was taken."""
        return str(self._prefix.get_providers()[0])

    def features(self, inputs: FloatArray) -> list[FloatArray]:
        """What an image's mutants share: arrays [R, …] for float32 inputs [R, …], the last the original's scores."""
        return run_session(self._prefix, IMAGES, inputs)

    def scores(
        self, features: Sequence[FloatArray], image_index: NDArray[np.int64], mutant_index: NDArray[np.int64]
    ) -> FloatArray:
        """Class scores of rows (image, mutant).

        Args:
            features: from :meth:`features`, rows of several calls may be concatenated.
            image_index: int64 [B], which row of the features.
            mutant_index: int64 [B], which mutant; 0 is the original.

        Returns:
            float32 [B, classes].
        """
        self.runs += 1
        named = dict(zip(self._features, features, strict=False))
        scores = features[-1][image_index]
        tail_of, place = self._tail_of[mutant_index], self._place[mutant_index]
        for number, tail in enumerate(self._tails):
            rows = np.flatnonzero(tail_of == number)
            if rows.size:
                scores[rows] = tail.scores(named, image_index[rows], place[rows])
        return scores

    def labels(
        self,
        inputs: FloatArray,
        mutants: NDArray[np.int64],
        *,
        rows: int = 512,
        known: MutableMapping[int, list[FloatArray]] | None = None,
    ) -> NDArray[np.int64]:
        """Labels of every image under every mutant given, in blocks of about ``rows`` rows.

        Args:
            inputs: float32 [N, …].
            mutants: int64 [M].
            rows: about how many rows run together.
            known: features of these inputs from an earlier call, by the number of their first image; what is
                missing is computed and put in. For banks of the same :attr:`prefix_id` only.

        Returns:
            int64 [N, M].
        """
        labels = np.empty((len(inputs), len(mutants)), dtype=np.int64)
        for start in range(0, len(inputs), _IMAGES_TOGETHER):
            features = None if known is None else known.get(start)
            if features is None:
                features = self.features(inputs[start : start + _IMAGES_TOGETHER])
                if known is not None:
                    known[start] = features
            count = len(features[-1])
            block = max(1, rows // count)
            for first in range(0, len(mutants), block):
                chosen = mutants[first : first + block]
                scores = self.scores(
                    features, np.tile(np.arange(count), len(chosen)), np.repeat(chosen, count)
                )
                labels[start : start + count, first : first + block] = (
                    scores.argmax(axis=1).reshape(-1, count).T
                )
        return labels

    def warm(self, inputs: FloatArray) -> None:
        """Run every graph once on float32 inputs [R, …], so that no request pays for first runs."""
        features = self.features(inputs)
        first = [np.flatnonzero(self._tail_of == n)[: tail.graphs] for n, tail in enumerate(self._tails)]
        mutants = np.concatenate(first)
        self.scores(features, np.zeros(len(mutants), dtype=np.int64), mutants)

    def close(self) -> None:
        """Let go of its threads."""
        for tail in self._tails:
            tail.close()


def _open(
    record: TailRecord,
    pool: Sequence[Mutant],
    parameters: FloatArray | None,
    providers: Sequence[str],
    threads: int,
    classes: int,
) -> Tail:
    if record.shared:
        return SharedTail(record.model, record.features, providers=providers, threads=threads)
    choices = [pool[number - 1].choice for number in record.mutants if number <= len(pool)]
    complete = len(choices) == len(record.mutants)
    if complete and all(map(is_whole, choices)):
        values = [choice["values"] for choice in choices]
        return SessionTail(
            record.model,
            record.features,
            values=values,
            classes=classes,
            providers=providers,
            threads=threads,
        )
    if parameters is None or not complete:
        raise StoreError(
            "the parameters of mutants with weights of their own are missing; build the store again"
        )
    patches = [patch(choice, parameters) for choice in choices]
    return OwnTail(
        record.model,
        record.features,
        original=parameters,
        patches=patches,
        classes=classes,
        providers=providers,
        threads=threads,
    )
