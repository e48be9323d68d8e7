"""Rows of mutants with weights of their own: the images of one mutant at a time. Light: the server imports it."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

import numpy as np
from numpy.typing import NDArray

from mutant_store.session import FloatArray, Model, open_session
from mutant_store.tail import Features

PARAMETER = "parameter_"
"""Inputs that hold parameters are named so, followed by where each begins in the vector of all of them."""

Patch = tuple[NDArray[np.int64], NDArray[np.float32]]


class _Scratch:
    """A copy of the parameters that one thread turns into one mutant after the other."""

    def __init__(self, original: FloatArray, inputs: Sequence[tuple[str, int, tuple[int, ...]]]) -> None:
        self._original = original
        self._values = original.copy()
        self.feed = {
            name: self._values[start : start + int(np.prod(shape))].reshape(shape)
            for name, start, shape in inputs
        }

    def become(self, patch: Patch) -> None:
        """Write a mutant's parameters over the original's."""
        positions, values = patch
        self._values[positions] = values

    def revert(self, patch: Patch) -> None:
        """Undo it."""
        positions, _ = patch
        self._values[positions] = self._original[positions]


class OwnTail:
    """One session whose weights are inputs, and what each mutant writes over the original's.

    Memory grows with what differs and not with the number of mutants. The rows of a mutant run as one batch, so
    requests that meet the same mutants at the same time share them; mutants run side by side on all threads.
    """

    def __init__(
        self,
        model: Model,
        features: Sequence[str],
        *,
        original: FloatArray,
        patches: Sequence[Patch],
        providers: Sequence[str],
        threads: int,
    ) -> None:
        """``original`` is float32 [P], ``patches`` positions int64 [k] and values float32 [k] of every mutant."""
        self._session = open_session(model, providers=providers, threads=1)
        self._features, self._patches = features, patches
        inputs = [
            (entry.name, int(entry.name.removeprefix(PARAMETER)), tuple(entry.shape))
            for entry in self._session.get_inputs()
            if entry.name.startswith(PARAMETER)
        ]
        self._threads = max(1, threads)
        self._scratches: SimpleQueue[_Scratch] = SimpleQueue()
        for _ in range(self._threads):
            self._scratches.put(_Scratch(original, inputs))
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="mutants")

    def scores(
        self, features: Features, image_index: NDArray[np.int64], mutants: NDArray[np.int64]
    ) -> FloatArray:
        """Run the rows mutant by mutant."""
        order = np.argsort(mutants, kind="stable")
        groups = np.split(order, np.flatnonzero(np.diff(mutants[order])) + 1)
        named = {name: features[name] for name in self._features}

        def run(mine: list[NDArray[np.int64]]) -> list[FloatArray]:
            return list(self._run(named, image_index, mutants, mine))

        workers = min(self._threads, len(groups))
        if workers == 1:
            answers = [run(groups)]
        else:
            answers = list(self._pool.map(run, [groups[start::workers] for start in range(workers)]))
        scores = np.empty((len(mutants), answers[0][0].shape[1]), dtype=np.float32)
        for start, mine in enumerate(answers):
            for rows, values in zip(groups[start::workers], mine, strict=True):
                scores[rows] = values
        return scores

    def _run(
        self,
        features: Features,
        image_index: NDArray[np.int64],
        mutants: NDArray[np.int64],
        groups: list[NDArray[np.int64]],
    ) -> Iterable[FloatArray]:
        scratch = self._scratches.get()
        try:
            for rows in groups:
                images = image_index[rows]
                feed = {**scratch.feed, **{name: value[images] for name, value in features.items()}}
                patch = self._patches[int(mutants[rows[0]])]
                scratch.become(patch)
                try:
                    yield np.asarray(self._session.run(None, feed)[0])
                finally:
                    scratch.revert(patch)
        finally:
            self._scratches.put(scratch)

    def close(self) -> None:
        """Let go of its threads."""
        self._pool.shutdown()
