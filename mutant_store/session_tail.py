"""Rows of mutants that bring all parameters: a session each. Light: the server imports it."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from mutant_store.session import FloatArray, Model, open_session
from mutant_store.tail import Features

VALUES = "mutant_values"
"""The constant float32 [P] that a mutant's parameters take the place of when its session is opened."""

_WORTH_A_THREAD = 200e-6
"""Seconds a run takes from which on threads pay; below, they wait for Python's lock and each other."""


class SessionTail:
    """One session a mutant, its weights constants that onnxruntime lays out for its kernels once, at loading.

    Where weights are a graph's inputs every run copies them and takes slower kernels; stacking mutants in one graph
    only pays while it is small and every image meets every mutant. The rows of a mutant run as one batch; threads
    take as many rows each, so one mutant's rows may run on two of them.
    """

    def __init__(
        self,
        model: Model,
        features: Sequence[str],
        *,
        values: Sequence[FloatArray],
        classes: int,
        providers: Sequence[str],
        threads: int,
    ) -> None:
        """``values`` are all parameters float32 [P] of every mutant.

        Raises:
            ModelError: onnxruntime cannot load the graph with them.
        """
        # an arena each would hold the activations of the largest batch once a mutant
        self._sessions = [
            open_session(model, providers=providers, threads=1, constants={VALUES: own}, arena=False)
            for own in values
        ]
        self.graphs = len(self._sessions)
        self._features = features
        self._classes = classes
        self._threads = max(1, threads)
        self._a_row = 0.0
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="mutants")

    def scores(
        self, features: Features, image_index: NDArray[np.int64], mutants: NDArray[np.int64]
    ) -> FloatArray:
        """Run the rows mutant by mutant."""
        order = np.argsort(mutants, kind="stable")
        named = {name: features[name] for name in self._features}
        scores = np.empty((len(mutants), self._classes), dtype=np.float32)

        def run(mine: NDArray[np.int64]) -> None:
            started = time.perf_counter()
            for rows in np.split(mine, np.flatnonzero(np.diff(mutants[mine])) + 1):
                images = image_index[rows]
                session = self._sessions[mutants[rows[0]]]
                answers = session.run(None, {name: value[images] for name, value in named.items()})
                scores[rows] = answers[0]
            self._a_row = (time.perf_counter() - started) / len(mine)

        workers = self._workers(len(order), len(np.unique(mutants)))
        if workers == 1:
            run(order)
        else:
            list(self._pool.map(run, np.array_split(order, workers)))
        return scores

    def _workers(self, rows: int, mutants: int) -> int:
        """How many threads to share the rows among."""
        workers = min(self._threads, rows)
        runs = max(mutants, workers)
        return workers if self._a_row * rows / runs > _WORTH_A_THREAD else 1

    def close(self) -> None:
        """Let go of its threads."""
        self._pool.shutdown()
