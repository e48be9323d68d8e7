"""Group of images that are decoded one by one into the source that they make up."""

import struct
from dataclasses import dataclass, field
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mutant_guard.errors import DataError, ImageError
from mutant_guard.store.choices import Resize
from mutant_store.datasets.conversion import Shape, fit_image, natural_pixels
from mutant_store.datasets.source import Source, digest

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
# Errors that Pillow's decoders raise on damaged files.
_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)


@dataclass
class ImageGroup:
    """Images of one split folder, or of a tree without split folders.

    Each image is fitted as it is decoded.

    Attributes:
        shape: (height, width, channels) of the model; None keeps the natural size.
        resize: ``exact`` refuses images of another size, ``bilinear`` resamples them.
    """

    shape: Shape | None
    resize: Resize
    _images: list[NDArray[np.uint8]] = field(default_factory=list)
    _digests: list[bytes] = field(default_factory=list)
    _classes: list[str] = field(default_factory=list)

    def add(self, content: bytes, class_name: str, name: str) -> None:
        """Decode one PNG, JPEG, WEBP or BMP file and add it to the group.

        Args:
            content: bytes of the file.
            class_name: name of the image's class.
            name: name of the file for messages.

        Raises:
            DataError: the file is damaged, of another format, or does not fit the model.
        """
        try:
            with Image.open(BytesIO(content), formats=_FORMATS) as image:
                natural = natural_pixels(image)
                fitted = fit_image(image, natural, self.shape, self.resize)
        except ImageError as error:
            raise DataError(f"{name}: {error}") from error
        except _DAMAGED as error:
            raise DataError(f"{name} is damaged or no PNG, JPEG, WEBP or BMP image ({error})") from error
        if self._images and fitted.shape != self._images[0].shape:
            raise DataError(
                f"{name} has shape {fitted.shape} where others have {self._images[0].shape}; "
                "say which size the model takes, or save the images at one size and colour"
            )
        self._images.append(fitted)
        self._digests.append(digest(natural))
        self._classes.append(class_name)

    def source(self, class_names: list[str]) -> Source:
        """Put the images in their fixed order; labels are positions in ``class_names``."""
        position = {class_name: label for label, class_name in enumerate(class_names)}
        labels = np.array([position[class_name] for class_name in self._classes], dtype=np.int64)
        return Source.of(np.stack(self._images), labels, class_names, self._digests)
