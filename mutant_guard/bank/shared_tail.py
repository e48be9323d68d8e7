"""Rows of mutants that share the original's weights: one batch for any mix of mutants.

Its imports are light: the server loads it.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mutant_guard.bank.layer_threads import open_rows
from mutant_guard.bank.session import FloatArray, Model, Providers, outputs, row_bytes
from mutant_guard.bank.tail import Features
from mutant_guard.bank.workers import Workers

IMAGE_INDEX = "image_index"


class SharedTail:
    """Tail with one session; tables inside the graph hold the changes of the layers' outputs."""

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
        self._session = open_rows(model, providers=providers, external=external, workers=workers)
        self.row_bytes = row_bytes(self._session)
        self._features = features

    def scores(
        self, features: Features, image_index: NDArray[np.int64], mutants: NDArray[np.int64]
    ) -> FloatArray:
        """Run all rows at once; row 0 of the graph's tables is the original."""
        feed: dict[str, NDArray[np.float32] | NDArray[np.int64]] = {
            name: features[name] for name in self._features
        }
        feed.update(image_index=image_index, mutant_index=mutants + 1)
        return outputs(self._session, feed)[0]
