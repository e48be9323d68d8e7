"""Whole source of images, put in one order that depends on the pixels alone."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mutant_guard.errors import DataError
from mutant_guard.store.model_card import DataRange
from mutant_store.datasets.image_data import ImageData
from mutant_store.datasets.spec import DataSpec

_DIGITS = re.compile(r"([0-9]+)")


def natural_key(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """Return a key that sorts names as people do: numbers in them by value, '2' before '10'."""
    parts = []
    for part in filter(None, _DIGITS.split(name)):
        number = part.lstrip("0") if _DIGITS.fullmatch(part) else None
        parts.append((1, 0, part) if number is None else (0, len(number), number))
    return parts, name


def digest(pixels: NDArray[np.uint8]) -> bytes:
    """Return the sha256, 32 bytes, over the shape and the values of one image.

    Args:
        pixels: uint8 [H, W, C] at natural size.
    """
    height, width, channels = pixels.shape
    return hashlib.sha256(f"{height}x{width}x{channels}:".encode() + pixels.tobytes()).digest()


@dataclass(frozen=True, eq=False)
class Source:
    """Images as they were read, and their fixed order: by digest, ties by label.

    A digest says nothing about the class or the file name. So any run of the order is a fair sample
    of all classes, and copies of a data set under other paths or in other containers have the same
    order.

    Attributes:
        images: uint8 [N, H, W, C] as read.
        labels: int64 [N] as read.
        class_names: names of the classes, one each.
        order: int64 [N], positions in ``images``.
        name: hexadecimal sha256 over the sorted digests of all images.
        numbered: whether the source has no names of classes, and ``class_names`` are numbers.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    order: NDArray[np.int64]
    name: str
    numbered: bool = False

    @classmethod
    def of(
        cls,
        images: NDArray[np.uint8],
        labels: NDArray[np.int64],
        class_names: Sequence[str],
        digests: Sequence[bytes] | None = None,
        *,
        numbered: bool = False,
    ) -> "Source":
        """Put images in their fixed order.

        Args:
            images: uint8 [N, H, W, C].
            labels: int64 [N], positions in ``class_names``.
            class_names: names of the classes, one each.
            digests: digests of the natural-size pixels, one an image; by default those of
                ``images``.
            numbered: whether the class names are made up from the labels.
        """
        if digests is None:
            digests = [digest(image) for image in images]
        keys = sorted(zip(digests, labels.tolist(), range(len(digests)), strict=True))
        order = np.array([position for _, _, position in keys], dtype=np.int64)
        name = hashlib.sha256(b"".join(key for key, _, _ in keys)).hexdigest()
        return cls(images, labels, tuple(class_names), order, name, numbered)

    def __len__(self) -> int:
        return len(self.order)

    def cut(self, spec: DataSpec, start: int, stop: int) -> ImageData:
        """Copy the run [start, stop) of the order.

        Args:
            spec: name of the run, a SPEC without its slice.
            start: first position.
            stop: position behind the last one.

        Raises:
            DataError: the run is empty.
        """
        if start >= stop:
            raise DataError(f"{spec} is empty: its source has {len(self):,} images, too few to cut it from")
        chosen = self.order[start:stop]
        where = DataRange(spec=str(spec), source=self.name, start=start, stop=stop)
        return ImageData(
            self.images[chosen], self.labels[chosen], self.class_names, where, numbered=self.numbered
        )

    def cut_split(self, spec: DataSpec, holdout: int) -> ImageData:
        """Copy a split of a source that has no holdout of its own.

        The holdout is the first ``holdout`` images of the order, train is the rest. A SPEC without
        a split gives all images.

        Raises:
            DataError: nothing is left for the split, or it is ``test``, which cannot be cut here.
        """
        if spec.split == "holdout":
            return self.cut(spec, 0, holdout)
        if spec.split == "train":
            return self.cut(spec, holdout, len(self))
        if spec.split is None:
            return self.cut(spec, 0, len(self))
        raise DataError(
            f"{spec}: this data has no {spec.split} split; use @train, @holdout or no split for all"
        )
