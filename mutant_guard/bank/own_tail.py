"""Rows of mutants with weights of their own, evaluated one mutant at a time.

Its imports are light: the server loads it.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from queue import SimpleQueue

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from mutant_guard.bank.layer_threads import open_rows
from mutant_guard.bank.session import FloatArray, Model, Providers, row_bytes
from mutant_guard.bank.tail import Features
from mutant_guard.bank.workers import Workers

PARAMETER = "parameter_"
"""Prefix of the names of inputs that hold parameters.

The position at which the input begins in the vector of all parameters follows it.
"""

Patch = tuple[NDArray[np.int64] | slice, NDArray[np.float32]]


class _Scratch:
    """Copy of the parameters that one thread turns into one mutant after the other.

    It holds the session's bindings too. Everything is bound to the session once: converting a dozen
    arrays for each run takes as long as a small network.
    """

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        original: FloatArray,
        inputs: Sequence[tuple[str, int, tuple[int, ...]]],
    ) -> None:
        self._session = session
        self._values = original.copy()
        self._binding = session.io_binding()
        # onnxruntime does not keep bound arrays alive
        self._kept = {
            name: self._values[start : start + int(np.prod(shape))].reshape(shape)
            for name, start, shape in inputs
        }
        for name, view in self._kept.items():
            self._binding.bind_cpu_input(name, view)

    def bind(self, features: Features, scores: FloatArray) -> None:
        """Bind features [B, …] to read, and scores float32 [B, classes] to write, from now on."""
        for name, value in features.items():
            self._kept[name] = np.ascontiguousarray(value)
            self._binding.bind_cpu_input(name, self._kept[name])
        output = self._session.get_outputs()[0].name
        self._binding.bind_output(output, "cpu", 0, np.float32, list(scores.shape), scores.ctypes.data)

    def run(self, positions: NDArray[np.int64] | slice, values: FloatArray, original: FloatArray) -> None:
        """Write a mutant's values, run, and restore the original."""
        self._values[positions] = values
        try:
            self._session.run_with_iobinding(self._binding)
        finally:
            self._values[positions] = original


class OwnTail:
    """Tail with one session whose weights are inputs, and the values each mutant writes over them.

    Memory grows with the changed values and not with the number of mutants. The rows of a mutant
    run as one batch, so requests that meet the same mutants at the same time share them.
    """

    graphs = 1

    def __init__(
        self,
        model: Model,
        features: Sequence[str],
        *,
        original: FloatArray,
        patches: Sequence[Patch],
        classes: int,
        providers: Providers,
        copies: int,
        external: Mapping[str, bytes] | None = None,
        workers: Workers | None = None,
    ) -> None:
        """Load the graph, and copy the parameters.

        Args:
            model: the graph.
            features: names of its inputs from the prefix.
            original: float32 [P], the original's parameters.
            patches: positions int64 [k] (or a slice) and values float32 [k] of every mutant.
            classes: number of classes.
            providers: execution providers in order of preference.
            copies: copies of the parameters; this many threads run at a time.
            external: contents of the files of external data, see ``open_session``.
            workers: threads to measure with, see ``open_measured``.
        """
        self._session = open_rows(model, providers=providers, external=external, workers=workers)
        self.row_bytes = row_bytes(self._session)
        self._features = features
        self._patches = [(positions, values, original[positions]) for positions, values in patches]
        inputs = [
            (entry.name, int(entry.name.removeprefix(PARAMETER)), tuple(entry.shape))
            for entry in self._session.get_inputs()
            if entry.name.startswith(PARAMETER)
        ]
        self._classes = classes
        self._scratches: SimpleQueue[_Scratch] = SimpleQueue()
        for _ in range(copies):
            self._scratches.put(_Scratch(self._session, original, inputs))

    def scores(
        self, features: Features, image_index: NDArray[np.int64], mutants: NDArray[np.int64]
    ) -> FloatArray:
        """Run the rows mutant by mutant; equal mutants in adjacent rows run as one batch."""
        named = {name: features[name] for name in self._features}
        scores = np.empty((len(mutants), self._classes), dtype=np.float32)
        cuts = [0, *(1 + np.flatnonzero(np.diff(mutants))).tolist(), len(mutants)]
        scratch, bound, answers = self._scratches.get(), b"", scores
        try:
            for start, stop in pairwise(cuts):
                images = image_index[start:stop]
                if (
                    key := images.tobytes()
                ) != bound:  # mutants often meet the same images one after the other
                    bound, answers = key, np.empty((len(images), self._classes), dtype=np.float32)
                    scratch.bind({name: value[images] for name, value in named.items()}, answers)
                scratch.run(*self._patches[mutants[start]])
                scores[start:stop] = answers
        finally:
            self._scratches.put(scratch)
        return scores
