"""Rows of mutants that bring all parameters, with one session for each mutant.

Its imports are light: the server loads it.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from mutant_guard.bank.layer_threads import open_measured
from mutant_guard.bank.session import FloatArray, Model, Providers, open_session, outputs, row_bytes
from mutant_guard.bank.tail import Features
from mutant_guard.bank.workers import Workers

VALUES = "mutant_values"
"""Constant float32 [P] that a mutant's parameters replace when its session is opened."""


class SessionTail:
    """Tail with one session for each mutant.

    Its weights are constants that onnxruntime lays out for its kernels once, at loading. Weights
    that are a graph's inputs would be copied in every run and need slower kernels. Stacking mutants
    in one graph pays only while the graph is small and every image meets every mutant. The rows of
    a mutant run as one batch.
    """

    def __init__(
        self,
        model: Model,
        features: Sequence[str],
        *,
        values: Sequence[FloatArray],
        classes: int,
        providers: Providers,
        external: Mapping[str, bytes] | None = None,
        workers: Workers | None = None,
    ) -> None:
        """Open one session for each mutant.

        Args:
            model: the graph.
            features: names of its inputs from the prefix.
            values: all parameters float32 [P] of every mutant.
            classes: number of classes.
            providers: execution providers in order of preference.
            external: contents of the files of other external data, see ``open_session``.
            workers: threads to measure with, see ``open_measured``; one mutant is measured for all.

        Raises:
            ModelError: onnxruntime cannot load the graph with these parameters.
        """

        def opened(own: FloatArray, threads: int) -> onnxruntime.InferenceSession:
            return open_session(
                model, providers=providers, threads=threads, constants={VALUES: own}, external=external
            )

        first, threads = open_measured(partial(opened, values[0]), workers)
        self._sessions = [first, *(opened(own, threads) for own in values[1:])]
        self.graphs, self.row_bytes = len(self._sessions), row_bytes(self._sessions[0])
        self._features = features
        self._classes = classes

    def scores(
        self, features: Features, image_index: NDArray[np.int64], mutants: NDArray[np.int64]
    ) -> FloatArray:
        """Run the rows mutant by mutant; equal mutants in adjacent rows run as one batch."""
        named = {name: features[name] for name in self._features}
        scores = np.empty((len(mutants), self._classes), dtype=np.float32)
        cuts = [0, *(1 + (mutants[1:] != mutants[:-1]).nonzero()[0]).tolist(), len(mutants)]
        for start, stop in pairwise(cuts):
            images = image_index[start:stop]
            session = self._sessions[mutants[start]]
            (scores[start:stop],) = outputs(session, {name: value[images] for name, value in named.items()})
        return scores
