"""Labelled images in memory, and their place in a source."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mutant_guard.errors import DataError
from mutant_guard.store.model_card import DataRange
from mutant_store.datasets.spec import parse


@dataclass(frozen=True, eq=False)
class ImageData:
    """Images in the fixed order of their source.

    Attributes:
        images: uint8 [N, H, W, C], values 0 to 255, C 1 (grey) or 3 (RGB).
        labels: int64 [N], positions in ``class_names``.
        class_names: names of the classes, one each.
        range: SPEC that the images were loaded by, and positions [start, stop) that they hold in
            their source.
        notes: sentences for people on what of the source was left out.
        numbered: whether the source has no names of classes, and ``class_names`` are numbers.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    range: DataRange
    notes: tuple[str, ...] = ()
    numbered: bool = False

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def portable_range(self) -> DataRange:
        """Value of ``range`` without the folders that the data lies in on this machine."""
        return self.range.model_copy(update={"spec": str(parse(self.range.spec).portable())})

    def part(self, start: int | None, stop: int | None) -> "ImageData":
        """Return the images [start, stop) of these, counted from 0; None is open.

        The result shares memory with these images.

        Raises:
            DataError: the slice is empty or reaches past the last image.
        """
        first = 0 if start is None else start
        last = len(self) if stop is None else stop
        if not 0 <= first < last <= len(self):
            held = f"{self.range.spec} holds {len(self):,} images"
            raise DataError(f"slice [{first}:{last}] is empty or out of range: {held}")
        spec = parse(self.range.spec)
        offset = spec.start or 0
        cut = DataRange(
            spec=str(replace(spec, start=offset + first, stop=offset + last)),
            source=self.range.source,
            start=self.range.start + first,
            stop=self.range.start + last,
        )
        return replace(self, images=self.images[first:last], labels=self.labels[first:last], range=cut)
