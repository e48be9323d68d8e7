"""Images of one kind that a detector is measured on."""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class SampleSet:
    """Images as they would be sent, and where they come from.

    Attributes:
        kind: ``normal`` (clean, labelled rightly), ``wrong`` (clean, labelled wrongly), or an
            attack's name.
        images: uint8 [N, H, W, C].
        labels: int64 [N], the true labels; -1 for images of no class.
        sources: int64 [N], positions in the test split of the images that these were made from; -1
            for images of no split.
    """

    kind: str
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    sources: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def file_name(self) -> str:
        """Kind, for the name of a file."""
        return self.kind.replace("/", "_")

    @property
    def digest(self) -> str:
        """SHA-256 of the images and their labels, in hexadecimal."""
        return hashlib.sha256(self.images.tobytes() + self.labels.tobytes()).hexdigest()

    def head(self, count: int) -> "SampleSet":
        """Return the first images of these, at most ``count``."""
        return SampleSet(self.kind, self.images[:count], self.labels[:count], self.sources[:count])
