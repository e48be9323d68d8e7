"""Group of images that are decoded one by one into the source that they make up."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from mutant_guard.errors import BadImageError, DataError, ImageError
from mutant_guard.images import decoding
from mutant_guard.store.choices import Resize
from mutant_store.datasets.conversion import Shape, fit_image, natural_pixels
from mutant_store.datasets.source import Source, digest

FORMATS = "PNG, JPEG, WEBP or BMP"
"""Formats of files, for messages: those of requests, and BMP, in which data sets come as well."""

_FORMATS = (*decoding.FORMATS, "BMP")
_MAX_PIXELS = PIL.Image.MAX_IMAGE_PIXELS or 1 << 26
_MOST_UNREADABLE = 0.01
_EARLY = 20


@dataclass
class ImageGroup:
    """Images of one split folder, or of a tree without split folders.

    Each is decoded as the server decodes it, and fitted. A few that cannot be are left out.

    Attributes:
        shape: (height, width, channels) of the model; None keeps the natural size.
        resize: text of the rule by which images get the model's size; see ``ResizeRule``.
    """

    shape: Shape | None
    resize: Resize
    _images: list[NDArray[np.uint8]] = field(default_factory=list)
    _digests: list[bytes] = field(default_factory=list)
    _classes: list[str] = field(default_factory=list)
    _unreadable: int = 0
    _first: str = ""

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentence on the files that were left out; none where all were read."""
        if not self._unreadable:
            return ()
        return (f"{self._counted()} cannot be read and are left out, the first {self._first}",)

    def add(self, content: Callable[[], bytes], class_name: str, name: str) -> None:
        """Decode one PNG, JPEG, WEBP or BMP file and add it to the group.

        Args:
            content: reader of the file.
            class_name: name of the image's class.
            name: name of the file for messages.

        Raises:
            DataError: the file has another size or colour than others where they keep their own, or
                most files so far cannot be read.
        """
        try:
            image = decoding.decode_whole(content(), _MAX_PIXELS, _FORMATS)
            natural = natural_pixels(image)
            fitted = fit_image(image, natural, self.shape, self.resize)
        except (BadImageError, ImageError, OSError) as error:
            self._unreadable += 1
            self._first = self._first or f"{name}: {error}"
            if self._unreadable > max(_EARLY, len(self._images)):
                raise self._refused() from error
            return
        if self._images and fitted.shape != self._images[0].shape:
            raise DataError(
                f"{name} has shape {fitted.shape} where others have {self._images[0].shape}; say which size the "
                "model takes (build: --size HEIGHTxWIDTH --resize crop:N), or save the images at one size and colour"
            )
        self._images.append(fitted)
        self._digests.append(digest(natural))
        self._classes.append(class_name)

    def source(self, class_names: list[str]) -> Source:
        """Put the images in their fixed order; labels are positions in ``class_names``.

        Raises:
            DataError: more than one in a hundred of the files cannot be read.
        """
        if self._unreadable > _MOST_UNREADABLE * (self._unreadable + len(self._images)):
            raise self._refused()
        position = {class_name: label for label, class_name in enumerate(class_names)}
        labels = np.array([position[class_name] for class_name in self._classes], dtype=np.int64)
        return Source.of(np.stack(self._images), labels, class_names, self._digests)

    def _counted(self) -> str:
        return f"{self._unreadable:,} of {self._unreadable + len(self._images):,} image files"

    def _refused(self) -> DataError:
        return DataError(
            f"{self._counted()} cannot be read, more than one in {1 / _MOST_UNREADABLE:.0f}; mend or remove them; the "
            f"first is {self._first}"
        )
