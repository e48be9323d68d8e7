"""Conversion of images of any size and colour to what the model takes.

The rule is the one that the server uses.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mutant_guard.errors import DataError, ImageError
from mutant_guard.store.choices import Resize
from mutant_guard.store.preprocessing import flat, to_pixels
from mutant_store.datasets.memory import check_memory

Shape = tuple[int, int, int]
"""Height in pixels, width in pixels, channels (1 grey or 3 RGB)."""

_GREY = {"1", "L"}


def natural_pixels(image: Image.Image) -> NDArray[np.uint8]:
    """Return the pixels of an opened image at its own size, as uint8.

    The shape is [H, W, 1] if the image is stored as grey, else [H, W, 3].

    Raises:
        ImageError: the image has transparent pixels or an unsupported pixel format.
    """
    image = flat(image)
    channels = 1 if image.mode in _GREY else 3
    return to_pixels(image, height=image.height, width=image.width, channels=channels, resize="exact")


def fit_image(
    image: Image.Image, natural: NDArray[np.uint8], shape: Shape | None, resize: Resize
) -> NDArray[np.uint8]:
    """Return the pixels of an opened image as the model takes them, uint8 of ``shape``.

    Args:
        image: the opened image.
        natural: its pixels at natural size, returned where ``shape`` is None.
        shape: (height, width, channels) of the model.
        resize: text of the rule by which the image gets this size; see ``ResizeRule``.

    Raises:
        ImageError: the rule does not take the image.
    """
    if shape is None:
        return natural
    height, width, channels = shape
    return to_pixels(image, height=height, width=width, channels=channels, resize=resize)


def fit_array(images: NDArray[np.uint8], shape: Shape | None, resize: Resize) -> NDArray[np.uint8]:
    """Fit images that are held as an array to a shape.

    Images of the model's size are taken as they are, also under ``crop``: they may be cropped
    already.

    Args:
        images: uint8 [N, H, W, C].
        shape: (height, width, channels) of the model; None leaves the images unchanged.
        resize: text of the rule by which images of another size get the model's; see
            ``ResizeRule``.

    Returns:
        uint8 [N, *shape].

    Raises:
        DataError: the rule does not take the images.
    """
    if shape is None or images.shape[1:] == shape:
        return images
    if images.shape[1:3] == shape[:2] and images.shape[3] == 1:
        return np.repeat(images, shape[2], axis=3)
    height, width, channels = shape
    check_memory(len(images) * height * width * channels, "the images at the model's size")
    fitted = np.empty((len(images), *shape), dtype=np.uint8)
    for position, pixels in enumerate(images):
        opened = Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[:, :, 0])
        try:
            fitted[position] = to_pixels(opened, height=height, width=width, channels=channels, resize=resize)
        except ImageError as error:
            raise DataError(str(error)) from error
    return fitted
