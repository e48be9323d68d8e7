"""Conversion of an opened image to uint8 pixels at model size, and of these to the input.

The input is the classifier's float32 tensor. The server and the offline tools use this module, so
that the server computes the inputs that the store was calibrated on.
"""

import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from mutant_guard.errors import ImageError
from mutant_guard.store.choices import Layout, Resize
from mutant_guard.store.resizing import ResizeRule

TRANSPARENT = "the image has transparent pixels; flatten it onto a background first"
"""Message for an image that has no one appearance."""

_WIDER = 1e-6
"""Share of the pixel range that the bounds of ``to_box`` are wider by."""
_MODE = {1: "L", 3: "RGB"}
_PLAIN = {"1", "L", "P", "RGB", "CMYK", "YCbCr", "HSV", "LAB"}
_ALPHA = {"LA", "La", "PA", "RGBA", "RGBa"}
_NO_EXIF = (SyntaxError, ValueError, TypeError, KeyError, IndexError, OverflowError, struct.error)
_DEPTHS = {"1": (1,), "L": (8, 4, 2), "RGB": (8, 16)}
"""Bits a sample that a PNG file of a mode may have had before Pillow read it; others have 16."""


def to_pixels(
    image: Image.Image, *, height: int, width: int, channels: int, resize: Resize
) -> NDArray[np.uint8]:
    """Convert an opened image to pixels at model size.

    It flattens the image (see ``flat``), converts its colours and resizes it.

    Args:
        image: decoded or lazily opened Pillow image, one frame.
        height: rows the model takes, in pixels.
        width: columns the model takes, in pixels.
        channels: 1 (grey, ITU-R 601 luma) or 3 (RGB).
        resize: text of the rule by which the image gets this size; see ``ResizeRule``.

    Returns:
        uint8 array of shape [height, width, channels], values 0 to 255.

    Raises:
        ImageError: transparent pixels, an unsupported pixel format, another size under ``exact``,
            or an image that is too narrow for ``fit``.
    """
    return fitted(flat(image), height=height, width=width, channels=channels, resize=resize)


def fitted(
    image: Image.Image, *, height: int, width: int, channels: int, resize: Resize
) -> NDArray[np.uint8]:
    """Convert an image from ``flat`` to pixels at model size.

    Arguments, result and errors are those of ``to_pixels``.
    """
    if image.mode != (mode := _MODE[channels]):
        image = image.convert(mode)
    image = ResizeRule.parse(resize).apply(image, height=height, width=width)
    return np.asarray(image, dtype=np.uint8).reshape(height, width, channels)


def flat(image: Image.Image, *, upright: bool = False) -> Image.Image:
    """Turn an image upright, and bring it to 8 bits a sample without transparency.

    EXIF data that is damaged turns nothing. 16-bit grey is scaled by 255/65535. An alpha channel,
    and a colour that counts as transparent, are dropped if every pixel is opaque. A picture with
    transparent pixels has no one appearance, so it is refused.

    Args:
        image: decoded or lazily opened Pillow image, one frame.
        upright: whether the image is known to be upright, and its metadata need not be read.

    Returns:
        Image of a mode that converts to grey and RGB; ``1`` or ``L`` if the image is grey.

    Raises:
        ImageError: transparent pixels, or an unsupported pixel format.
    """
    # Pillow gives an image with a palette that is missing an empty one where it copies the image.
    image = _opaque(image if upright and image.mode != "P" else _upright(image))
    if image.mode.startswith("I;16"):
        grey = np.asarray(image, dtype=np.uint32)
        return Image.fromarray(((grey * 255 + 32767) // 65535).astype(np.uint8))
    if image.mode not in _PLAIN:
        raise ImageError(f"pixel format {image.mode} is not supported; save it as 8-bit grey or RGB")
    return image


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except _NO_EXIF:
        return image


def refuse_colour(image: Image.Image, colour: tuple[int, ...], depth: int) -> None:
    """Refuse an image that has a pixel of the colour that counts as transparent.

    Args:
        image: decoded image, of a mode that Pillow gives a PNG file without palette or alpha.
        colour: samples of the colour, as the file states them.
        depth: bits of these samples, 1 to 16. Bits above them do not count. Of RGB at 16 bits only
            the upper 8 are compared, as Pillow drops the others.

    Raises:
        ImageError: there is such a pixel.
    """
    most = (1 << depth) - 1
    levels = [(sample & most) * 255 // most for sample in colour]
    if depth == 16:
        levels = [sample if image.mode.startswith("I;16") else sample >> 8 for sample in colour]
    if pixels_of_colour(image, levels).any():
        raise ImageError(TRANSPARENT)


def pixels_of_colour(image: Image.Image, levels: Sequence[int]) -> NDArray[np.bool_]:
    """Return which pixels of a decoded image have these values, bool [H, W]."""
    samples = np.asarray(image.convert("L") if image.mode == "1" else image)
    channels = samples.reshape(*samples.shape[:2], -1)
    alike = np.asarray(channels[:, :, 0] == levels[0])
    for channel, level in enumerate(levels[1:], 1):
        alike &= channels[:, :, channel] == level
    return alike


def _opaque(image: Image.Image) -> Image.Image:
    if image.mode in _ALPHA or image.mode == "P":
        if not image.has_transparency_data:
            return image
        rgba = image.convert("RGBA")
        lowest, _ = rgba.getchannel("A").getextrema()
        if not isinstance(lowest, int | float) or lowest < 255:
            raise ImageError(TRANSPARENT)
        return rgba.convert("L" if image.mode in ("LA", "La") else "RGB")
    colour = image.info.get("transparency")
    if colour is None:
        return image
    # Whoever opened the image read its depth; a pixel that may be transparent counts as such.
    for depth in _DEPTHS.get(image.mode, (16,)):
        refuse_colour(image, colour if isinstance(colour, tuple) else (colour,), depth)
    return image


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
    scaled = _planes(pixels, layout).astype(np.float32)
    # in place: arrays of a large image's size cost more than the arithmetic
    scaled /= np.float32(255)
    return _normalised(scaled, mean, std, layout)


def to_box(
    pixels: NDArray[np.uint8],
    epsilons: NDArray[np.float64],
    *,
    mean: NDArray[np.float32],
    std: NDArray[np.float32],
    layout: Layout,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return bounds of the inputs of all images near given ones.

    The bounds hold for what ``to_input`` gives in float32: they are wider by some millionths.

    Args:
        pixels: uint8 [N, H, W, C].
        epsilons: float64 [N], largest change of a pixel of each image, at least 0, in units of the
            pixel range 0 to 1, which no change leaves.
        mean: float32 [C], in the same units.
        std: float32 [C], in the same units.
        layout: see ``to_input``.

    Returns:
        Least and largest inputs, float32 in the given layout.
    """
    shares = _planes(pixels, layout).astype(np.float64) / 255
    change = epsilons.reshape(-1, 1, 1, 1)
    wider = _WIDER * (1 + np.abs(mean.astype(np.float64))).reshape(_channels(layout))
    low, high = np.clip(shares - change, 0, 1) - wider, np.clip(shares + change, 0, 1) + wider
    return (
        _normalised(low.astype(np.float32), mean, std, layout),
        _normalised(high.astype(np.float32), mean, std, layout),
    )


def _planes(pixels: NDArray[np.uint8], layout: Layout) -> NDArray[np.uint8]:
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2) if layout == "nchw" else pixels)


def _channels(layout: Layout) -> tuple[int, ...]:
    return (-1, 1, 1) if layout == "nchw" else (-1,)


def _normalised(
    scaled: NDArray[np.float32], mean: NDArray[np.float32], std: NDArray[np.float32], layout: Layout
) -> NDArray[np.float32]:
    """Normalise shares of the pixel range, [N, C, H, W] or [N, H, W, C], in place."""
    shape = _channels(layout)
    scaled -= mean.reshape(shape)
    scaled /= std.reshape(shape)
    return scaled.reshape(len(scaled), -1) if layout == "flat" else scaled
