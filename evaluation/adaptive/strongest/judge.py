"""Judge of attacked images: what the guard under attack answers, policy by policy."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Judged:
    """Answers of a guard on images.

    Attributes:
        labels: int64 [M], the original's labels.
        cleared: bool [P, M], whether each policy finds the image normal.
    """

    labels: NDArray[np.int64]
    cleared: NDArray[np.bool_]


class Judge(Protocol):
    """Guard that answers under several policies."""

    @property
    def policies(self) -> tuple[str, ...]:
        """Names of the policies, those that are hardest to evade first."""

    def judge(self, pixels: Pixels) -> Judged:
        """Answer on images uint8 [M, H, W, C]."""
