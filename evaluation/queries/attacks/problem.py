"""Problem that an attack by queries is to solve."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.queries.oracle import Limit


@dataclass(frozen=True, eq=False)
class Problem:
    """Image under attack.

    Attributes:
        source: float64 [H, W, C], the image, pixels from 0 to 1.
        start: float64 [H, W, C], an image of another label, from which decision-based attacks come
            nearer.
        label: the true label of ``source``.
        classes: number of classes.
        limit: largest change that counts.
        rng: generator of all random choices.
    """

    source: NDArray[np.float64]
    start: NDArray[np.float64]
    label: int
    classes: int
    limit: Limit
    rng: np.random.Generator

    def inside(self, images: NDArray[Any]) -> NDArray[np.float64]:
        """Return images [N, H, W, C] clipped to the pixel range and to L∞ around the source."""
        size = self.limit.whole
        near = np.clip(images, self.source - size, self.source + size)
        return np.asarray(np.clip(near, 0, 1))
