"""Conversion of an opened image to uint8 pixels at model size, and of these to the input.

The input is the classifier's float32 tensor. The server and the offline tools use this module, so
that the server computes the inputs that the store was calibrated on.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from mutant_guard.errors import ImageError
from mutant_guard.store.choices import Layout, Resize

_MODE = {1: "L", 3: "RGB"}
_PLAIN = {"1", "L", "P", "RGB", "CMYK", "YCbCr", "HSV", "LAB"}
_ALPHA = {"LA", "La", "PA", "RGBA", "RGBa"}


def to_pixels(
    image: Image.Image, *, height: int, width: int, channels: int, resize: Resize
) -> NDArray[np.uint8]:
    """Convert an opened image to pixels at model size.

    It applies EXIF orientation, colour conversion and resizing. 16-bit grey is scaled to 8 bits by
    255/65535; palettes are expanded; an alpha channel is dropped if it is opaque everywhere. A
    picture with transparent pixels has no one appearance, so it is refused.

    Args:
        image: decoded or lazily opened Pillow image, one frame.
        height: rows the model takes, in pixels.
        width: columns the model takes, in pixels.
        channels: 1 (grey, ITU-R 601 luma) or 3 (RGB).
        resize: ``exact`` refuses another size; ``bilinear`` resamples to it with antialiasing.

    Returns:
        uint8 array of shape [height, width, channels], values 0 to 255.

    Raises:
        ImageError: transparent pixels, an unsupported pixel format, or another size under
            ``exact``.
    """
    image = _without_alpha(ImageOps.exif_transpose(image))
    if image.mode.startswith("I;16"):
        grey = np.asarray(image, dtype=np.uint32)
        image = Image.fromarray(((grey * 255 + 32767) // 65535).astype(np.uint8))
    elif image.mode not in _PLAIN:
        raise ImageError(f"pixel format {image.mode} is not supported; save it as 8-bit grey or RGB")
    if image.size != (width, height) and resize == "exact":
        raise ImageError(
            f"the image is {image.width}×{image.height} pixels and this model takes exactly {width}×{height}; "
            "resize it, or build the store with --resize bilinear"
        )
    image = image.convert(_MODE[channels])
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image, dtype=np.uint8).reshape(height, width, channels)


def _without_alpha(image: Image.Image) -> Image.Image:
    if image.mode not in _ALPHA and "transparency" not in image.info:
        return image
    rgba = image.convert("RGBA")
    lowest, _ = rgba.getchannel("A").getextrema()
    if not isinstance(lowest, int | float) or lowest < 255:
        raise ImageError("the image has transparent pixels; flatten it onto a background first")
    return rgba.convert("RGB")


def to_input(
    pixels: NDArray[np.uint8], *, mean: NDArray[np.float32], std: NDArray[np.float32], layout: Layout
) -> NDArray[np.float32]:
    """Scale pixels to the range 0 to 1, normalise per channel, and lay them out for the classifier.

    Args:
        pixels: uint8 [N, H, W, C].
        mean: float32 [C], in units of the pixel range 0 to 1.
        std: float32 [C], in units of the pixel range 0 to 1.
        layout: ``nchw`` → [N, C, H, W], ``nhwc`` → [N, H, W, C], ``flat`` → [N, H·W·C] in H, W, C
            order.

    Returns:
        Contiguous float32 array in the given layout.
    """
    scaled = (pixels.astype(np.float32) / np.float32(255) - mean) / std
    if layout == "nchw":
        return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))
    return scaled if layout == "nhwc" else scaled.reshape(len(scaled), -1)
