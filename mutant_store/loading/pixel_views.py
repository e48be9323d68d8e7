"""Images that are kept as pixels, of which inputs are made a block at a time."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mutant_guard.bank.views import Inputs, Views
from mutant_guard.store.manifest import InputSpec

Rows = slice | NDArray[Any]


@dataclass(frozen=True, eq=False)
class PixelViews:
    """Images in every view that the networks of a bank read.

    Pixels take a quarter of the memory of inputs. An index gives the inputs of some images.

    Attributes:
        pixels: uint8 [N, H, W, C] of each view, the original's first.
        specs: input of the networks that read each view.
    """

    pixels: tuple[NDArray[np.uint8], ...]
    specs: tuple[InputSpec, ...]

    def __len__(self) -> int:
        return len(self.pixels[0])

    def __getitem__(self, rows: Rows) -> Inputs:
        arrays = [spec.tensor(pixels[rows]) for pixels, spec in zip(self.pixels, self.specs, strict=True)]
        return arrays[0] if len(arrays) == 1 else Views(tuple(arrays))

    def part(self, start: int, stop: int | None = None) -> "PixelViews":
        """Return the images [start, stop) of these; they share memory."""
        return PixelViews(tuple(pixels[start:stop] for pixels in self.pixels), self.specs)

    def of_view(self, number: int) -> "PixelViews":
        """Return the images in one view alone; 0 is the original's."""
        return PixelViews((self.pixels[number],), (self.specs[number],))

    def with_view(self, pixels: NDArray[np.uint8], spec: InputSpec) -> "PixelViews":
        """Return the images with one more view."""
        return PixelViews((*self.pixels, pixels), (*self.specs, spec))

    def blocks(self, size: int) -> Iterator[NDArray[np.float32]]:
        """Yield the inputs of the original, float32 [≤ size, …], block by block."""
        for start in range(0, len(self), size):
            yield self.specs[0].tensor(self.pixels[0][start : start + size])

    def scores(
        self, of: Callable[[NDArray[np.float32]], NDArray[np.float32]], size: int = 32
    ) -> NDArray[np.float32]:
        """Return a classifier's scores float32 [N, classes] of all images, computed in blocks.

        Args:
            of: function from the original's inputs float32 [n, …] to scores.
            size: number of images of a block.
        """
        return np.concatenate([of(block) for block in self.blocks(size)])
