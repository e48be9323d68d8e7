"""Loaded mutant bank.

Its imports are light: both the server and the offline tools load it.
"""

import hashlib
import time
from collections.abc import Mapping, MutableMapping, Sequence
from functools import partial
from itertools import pairwise

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from mutant_guard.bank.graph_tail import GraphTail
from mutant_guard.bank.layer_threads import open_rows
from mutant_guard.bank.memory import even_blocks, kept_bytes, rows_within, run_bytes
from mutant_guard.bank.open_tail import open_tail
from mutant_guard.bank.pace import Pace
from mutant_guard.bank.pool import Mutant
from mutant_guard.bank.session import (
    CPU,
    IMAGES,
    FloatArray,
    Model,
    Providers,
    bytes_of_row,
    row_bytes,
    run_session,
)
from mutant_guard.bank.tail import Tail, TailRecord
from mutant_guard.bank.views import Inputs, arrays_of, view_name, view_number
from mutant_guard.bank.workers import Workers
from mutant_guard.decision.evidence.kinds import all_finite, labels_of
from mutant_guard.errors import StoreError

_ORIGINAL = -1
_IMAGES_TOGETHER = 64
_MOST_AT_ONCE = 512


class BankSession:
    """Loaded bank: one pass over the images, then any mix of (image, mutant) rows.

    Rows are grouped by the entry point of their mutant, and shared out among threads where there is
    enough work. Each tail has its own way to evaluate its rows. Where rows take much memory, a
    thread runs some of its rows at a time (see ``memory``). Call ``features`` and ``scores`` one at
    a time.

    Attributes:
        runs: number of times that rows were evaluated.
        seconds: time spent in runs of features and rows, with gathering and scattering.
        prefix_id: id of the prefix. Banks with the same id compute the same features, unless it is
            empty.
        image_shape: shape of an image as the prefix takes it; −1 for any length.
        classes: number of classes.
        views: number of views of an image that the bank reads, that of the original included.
        feature_bytes: bytes of the features of an image, with the views that companions read.
    """

    def __init__(
        self,
        prefix: Model,
        tails: Sequence[TailRecord],
        *,
        pool: Sequence[Mutant] = (),
        parameters: FloatArray | None = None,
        external: Mapping[str, bytes] | None = None,
        providers: Providers = (CPU,),
        threads: int = 0,
        workers: Workers | None = None,
        beside: int = 1,
    ) -> None:
        """Load a bank.

        Args:
            prefix: the original's graph; its outputs are the features of all tails, and last the
                scores.
            tails: one tail for each entry point.
            pool: the mutants; needed only where weights are not shared.
            parameters: the original's parameters, float32 [P]; needed only where mutants change
                some of them.
            external: contents of the files of external data, see ``open_session``.
            providers: execution providers in order of preference.
            threads: CPU threads; 0 takes all cores of this process.
            workers: threads that are shared with other banks, in place of own ones, as a server has
                them. Large graphs then use them within a layer where that is better, see
                ``open_measured``.
            beside: number of banks that run at a time, this one included, and share the memory.

        Raises:
            ModelError: onnxruntime cannot load a graph.
            StoreError: the tails do not hold every mutant once, or mutants of a tail are missing
                from the pool.
        """
        self._workers, self._own_workers = workers or Workers(threads), workers is None
        self._prefix = open_rows(prefix, providers=providers, external=external, workers=workers)
        self.prefix_id = ""
        if isinstance(prefix, bytes) and external is None:
            self.prefix_id = hashlib.sha256(prefix).hexdigest()
        *self._features, self._scores = [entry.name for entry in self._prefix.get_outputs()]
        read = [view_number(name) or 0 for tail in tails for name in tail.features]
        self.views = 1 + max(read, default=0)
        self.image_shape, self.classes = _shapes(self._prefix)
        self._beside = beside
        numbers = [number for tail in tails for number in tail.mutants]
        if sorted(numbers) != list(range(1, len(numbers) + 1)):
            raise StoreError("the bank does not hold every mutant once; build the store again")
        self._tail_of = np.full(len(numbers) + 1, _ORIGINAL, dtype=np.int64)
        self._place = np.zeros(len(numbers) + 1, dtype=np.int64)
        self._rank = np.full(len(numbers) + 1, _ORIGINAL, dtype=np.int64)
        self._tails: list[Tail] = []
        for record in tails:
            members = list(record.mutants)
            self._tail_of[members] = len(self._tails)
            self._place[members] = np.arange(len(members))
            self._rank[members] = len(numbers) * len(self._tails) + self._place[members]
            self._tails.append(
                open_tail(
                    record,
                    pool,
                    parameters,
                    external,
                    providers,
                    self.classes,
                    copies=self._workers.threads,
                    workers=workers,
                )
            )
        self._on_cpu = self.provider == CPU
        views = sum(tail.view_bytes for tail in self._tails if isinstance(tail, GraphTail))
        self.feature_bytes = bytes_of_row(self._prefix.get_outputs()) + views
        running = self._workers.threads * beside
        self._images_at_once = rows_within(run_bytes(running), row_bytes(self._prefix), _MOST_AT_ONCE)
        self._rows_at_once = [
            rows_within(run_bytes(running), tail.row_bytes, _MOST_AT_ONCE) for tail in self._tails
        ]
        self._image_pace, self._row_pace = Pace(), [Pace() for _ in self._tails]
        self.runs, self.seconds = 0, 0.0

    @property
    def provider(self) -> str:
        """Execution provider in use."""
        return str(self._prefix.get_providers()[0])

    def features(self, images: Inputs) -> list[FloatArray]:
        """Compute the features that the mutants of an image share.

        Args:
            images: float32 [R, …]; all views of the images where mutants read others than the
                original's.

        Returns:
            Arrays [R, …]: what the prefix computes, then the views other than the original's, and
                last the original's scores. The scores of an image are NaN if any of its features is
                not finite: later layers may hide that, as some kernels turn NaN into 0.

        Raises:
            ValueError: there are not as many views as the bank reads.
        """
        started = time.perf_counter()
        inputs, *others = arrays_of(images)
        if len(others) < self.views - 1:
            raise ValueError(f"the bank reads {self.views} views of an image, got {len(others) + 1}")
        threads = min(self._threads(self._image_pace.seconds(len(inputs))), len(inputs))
        found: list[list[FloatArray]] = [[] for _ in range(threads)]

        def run(part: int, mine: FloatArray) -> None:
            began = time.perf_counter()
            if len(mine) <= self._images_at_once:
                found[part] = run_session(self._prefix, IMAGES, mine)
            else:
                cuts = even_blocks(len(mine), self._images_at_once)
                blocks = [run_session(self._prefix, IMAGES, mine[cut]) for cut in cuts]
                found[part] = [np.concatenate(own) for own in zip(*blocks, strict=True)]
            self._image_pace.took(len(mine), time.perf_counter() - began)

        if threads == 1:
            run(0, inputs)
        else:
            shares = np.array_split(inputs, threads)
            self._workers.run([partial(run, part, mine) for part, mine in enumerate(shares)])
        features = found[0] if threads == 1 else [np.concatenate(parts) for parts in zip(*found, strict=True)]
        for part in features[:-1]:
            if not all_finite(part):
                features[-1][~np.isfinite(part).reshape(len(inputs), -1).all(axis=1)] = np.nan
        features[-1:-1] = others[: self.views - 1]
        self.seconds += time.perf_counter() - started
        return features

    def scores(
        self, features: Sequence[FloatArray], image_index: NDArray[np.int64], mutant_index: NDArray[np.int64]
    ) -> FloatArray:
        """Compute class scores of rows (image, mutant).

        Args:
            features: arrays from ``features``; rows of several calls may be concatenated.
            image_index: int64 [B], row of the features for each row.
            mutant_index: int64 [B], mutant number for each row; 0 is the original.

        Returns:
            float32 [B, classes].
        """
        started = time.perf_counter()
        self.runs += 1
        others = [view_name(number) for number in range(1, self.views)]
        named = dict(zip([*self._features, *others], features, strict=False))
        named[self._scores] = features[-1]
        if mutant_index.size == 1 and mutant_index[0]:  # there is nothing to sort or share out
            number = int(self._tail_of[mutant_index[0]])
            scores = self._tails[number].scores(named, image_index, self._place[mutant_index])
            took = time.perf_counter() - started
            self._row_pace[number].took(1, took)
            self.seconds += took
            return scores
        scores = features[-1][image_index]
        rank = self._rank[mutant_index]
        order = np.argsort(rank, kind="stable")[np.count_nonzero(rank == _ORIGINAL) :]
        tail_of, place = self._tail_of[mutant_index[order]], self._place[mutant_index]

        def run(first: int, end: int) -> None:
            cuts = first + 1 + np.flatnonzero(np.diff(tail_of[first:end]))
            for start, stop in pairwise([first, *cuts.tolist(), end]):
                number = int(tail_of[start])
                own, most = order[start:stop], self._rows_at_once[number]
                parts = [own] if len(own) <= most else [own[cut] for cut in even_blocks(len(own), most)]
                for rows in parts:
                    began = time.perf_counter()
                    scores[rows] = self._tails[number].scores(named, image_index[rows], place[rows])
                    self._row_pace[number].took(len(rows), time.perf_counter() - began)

        if order.size:
            counts = np.bincount(tail_of, minlength=len(self._tails)).tolist()
            each = [pace.seconds(n) / max(n, 1) for pace, n in zip(self._row_pace, counts, strict=True)]
            work = np.cumsum(np.array(each)[tail_of])
            threads = min(self._threads(float(work[-1])), order.size)
            if threads == 1:
                run(0, order.size)
            else:
                ends = np.searchsorted(work, work[-1] * np.arange(1, threads) / threads) + 1
                parts = np.unique([0, *ends.tolist(), order.size]).tolist()
                self._workers.run([partial(run, first, end) for first, end in pairwise(parts)])
        self.seconds += time.perf_counter() - started
        return scores

    def _threads(self, seconds: float) -> int:
        """Return the number of threads for work of this many seconds.

        A device other than the CPU takes the work whole.
        """
        return self._workers.worth(seconds) if self._on_cpu else 1

    def images_together(self, most: int, *, more_bytes: int = 0) -> int:
        """Return the number of images, from 1 to ``most``, whose features may be kept at a time.

        Args:
            most: most images.
            more_bytes: bytes of what the caller keeps of an image besides.
        """
        return rows_within(kept_bytes() // self._beside, self.feature_bytes + more_bytes, most)

    def labels(
        self,
        inputs: Inputs,
        mutants: NDArray[np.int64],
        *,
        rows: int = 512,
        known: MutableMapping[int, list[FloatArray]] | None = None,
    ) -> NDArray[np.int64]:
        """Compute labels of every image under every given mutant, in blocks of about ``rows`` rows.

        Args:
            inputs: float32 [N, …], or all views of the images, see ``features``.
            mutants: int64 [M], mutant numbers.
            rows: approximate number of rows that run together.
            known: features of these inputs from an earlier call, by the number of their first
                image. Missing features are computed and added. Share it only among banks of the
                same ``prefix_id``.

        Returns:
            int64 [N, M]; ``NO_LABEL`` where scores are not finite.
        """
        labels = np.empty((len(inputs), len(mutants)), dtype=np.int64)
        together = self.images_together(_IMAGES_TOGETHER)
        for start in range(0, len(inputs), together):
            features = None if known is None else known.get(start)
            if features is None:
                features = self.features(inputs[start : start + together])
                if known is not None:
                    known[start] = features
            count = len(features[-1])
            block = max(1, rows // count)
            for first in range(0, len(mutants), block):
                chosen = mutants[first : first + block]
                scores = self.scores(
                    features, np.tile(np.arange(count), len(chosen)), np.repeat(chosen, count)
                )
                labels[start : start + count, first : first + block] = labels_of(scores).reshape(-1, count).T
        return labels

    def warm(self, inputs: Inputs) -> bool:
        """Run every graph once on inputs [R, …], so that no request pays for first runs.

        Returns whether all scores are finite.
        """
        features = self.features(inputs)
        first = [np.flatnonzero(self._tail_of == n)[: tail.graphs] for n, tail in enumerate(self._tails)]
        mutants = np.concatenate([[0], *first])
        scores = self.scores(features, np.zeros(len(mutants), dtype=np.int64), mutants)
        return bool(np.isfinite(scores).all())

    def close(self) -> None:
        """Release the threads, unless they are shared."""
        if self._own_workers:
            self._workers.close()


def _shapes(prefix: onnxruntime.InferenceSession) -> tuple[tuple[int, ...], int]:
    """Return the shape of an image, −1 for any length, and the number of classes.

    Raises:
        StoreError: the graph does not take images alone, or its scores are not [images, classes].
    """
    inputs, scores = prefix.get_inputs(), prefix.get_outputs()[-1]
    if [(entry.name, entry.type) for entry in inputs] != [(IMAGES, "tensor(float)")]:
        raise StoreError(f"the prefix does not take float32 '{IMAGES}' alone; build the store again")
    if len(scores.shape) != 2 or not isinstance(scores.shape[1], int) or scores.type != "tensor(float)":
        raise StoreError("the scores of the prefix are not float32 [images, classes]; build the store again")
    return tuple(size if isinstance(size, int) else -1 for size in inputs[0].shape[1:]), scores.shape[1]
