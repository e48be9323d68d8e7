"""Rows of a mutant that has a graph of its own, such as a companion.

Its imports are light: the server loads it.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mutant_guard.bank.layer_threads import open_rows
from mutant_guard.bank.session import (
    FloatArray,
    Model,
    Providers,
    bytes_of_row,
    outputs,
    row_bytes,
)
from mutant_guard.bank.tail import Features
from mutant_guard.bank.workers import Workers


class GraphTail:
    """Tail of one mutant: a classifier of its own, which reads its own view of an image.

    Its scores are in the original's order of classes.

    Attributes:
        view_bytes: bytes of its view of an image.
    """

    graphs = 1

    def __init__(
        self,
        model: Model,
        features: Sequence[str],
        *,
        providers: Providers,
        external: Mapping[str, bytes] | None = None,
        workers: Workers | None = None,
    ) -> None:
        """Open the mutant's session.

        Args:
            model: the graph.
            features: names of its inputs among the features of an image.
            providers: execution providers in order of preference.
            external: contents of the files of external data, see ``open_session``.
            workers: threads to measure with, see ``open_measured``.

        Raises:
            ModelError: onnxruntime cannot load the graph.
        """
        self._session = open_rows(model, providers=providers, external=external, workers=workers)
        self.row_bytes = row_bytes(self._session)
        self.view_bytes = bytes_of_row(self._session.get_inputs())
        self._features = features

    def scores(
        self, features: Features, image_index: NDArray[np.int64], mutants: NDArray[np.int64]
    ) -> FloatArray:
        """Run all rows as one batch; there is one mutant."""
        feed = {name: features[name][image_index] for name in self._features}
        return outputs(self._session, feed)[0]
