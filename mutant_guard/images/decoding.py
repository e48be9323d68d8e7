"""Conversion of a request's bytes to pixels at model size.

Every limit is checked before anything is decoded.
"""

import io
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from PIL import UnidentifiedImageError
from PIL.Image import Image as PillowImage

from mutant_guard.errors import BadImageError, ImageError, TooManyPixelsError, reason
from mutant_guard.images.containers import Colour, Picture, picture, webp_size
from mutant_guard.images.orientation import UPRIGHT, exif_of, orientation
from mutant_guard.images.plain import plain_file
from mutant_guard.store.manifest import InputSpec
from mutant_guard.store.preprocessing import TRANSPARENT, fitted, flat, pixels_of_colour, refuse_colour

FORMATS = ("PNG", "JPEG", "WEBP")
"""Formats that a request may have, by Pillow's names."""

MAX_SIDE = 65_535
"""Longest side in pixels, that of JPEG.

Resampling makes tables of this length, and lets no other thread run meanwhile.
"""

# Errors that Pillow's decoders raise on damaged files.
_DAMAGED = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    struct.error,
)


_NAMES = {"WEBP": "WebP"}
_GREY_ALPHA_16 = "LA;16B"
"""Pillow's name of the samples of a PNG file with 16-bit grey and alpha."""

Image = bytes | Path | PillowImage | NDArray[np.uint8]
"""Image as it is given: an encoded file or its path, a Pillow image, or pixels uint8 [H, W, C]."""


def picture_of(pixels: NDArray[np.uint8]) -> PillowImage:
    """Return pixels uint8 [H, W, C] as a Pillow image, grey where there is one channel."""
    return PIL.Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def convert(image: PillowImage, spec: InputSpec, max_pixels: int) -> NDArray[np.uint8]:
    """Convert a Pillow image that the caller opened to pixels at model size.

    Args:
        image: one still image, decoded or not yet.
        spec: size and colour that the model takes, and the treatment of other sizes.
        max_pixels: most pixels of the image.

    Returns:
        uint8 [height, width, channels].

    Raises:
        TooManyPixelsError: the image has more pixels, or a side is too long.
        BadImageError: the image is animated or damaged, or the model does not take it.
    """
    return at_sizes(loaded(image, max_pixels), [spec])[0]


def loaded(image: PillowImage, max_pixels: int) -> PillowImage:
    """Check a Pillow image that the caller opened, and decode its pixels.

    Args:
        image: one still image, decoded or not yet.
        max_pixels: most pixels of the image.

    Returns:
        Upright image without transparency, of 8 bits a sample; ``1`` or ``L`` if it is grey.

    Raises:
        TooManyPixelsError: the image has more pixels, or a side is too long.
        BadImageError: the image is animated or damaged, or has transparent pixels.
    """
    _check_size(*image.size, max_pixels)
    _check_still(image)
    try:
        image.load()
        return flat(image)
    except ImageError as error:
        raise BadImageError(str(error)) from error
    except _DAMAGED as error:
        raise BadImageError(f"the image is damaged or cut short ({reason(error)}); send it again") from error


def at_sizes(image: PillowImage, specs: Sequence[InputSpec]) -> list[NDArray[np.uint8]]:
    """Return the pixels that each of several networks takes of one decoded image.

    Equal pixels are computed once.

    Args:
        image: the image, from ``decode_whole`` or ``loaded``.
        specs: size, colour and treatment of other sizes of each network.

    Returns:
        uint8 [height, width, channels] for each of ``specs``.

    Raises:
        BadImageError: a network does not take the image.
    """
    known: dict[tuple[int, int, int, str], NDArray[np.uint8]] = {}
    for spec in specs:
        key = (spec.height, spec.width, spec.channels, spec.resize)
        if key in known:
            continue
        try:
            known[key] = fitted(
                image, height=spec.height, width=spec.width, channels=spec.channels, resize=spec.resize
            )
        except ImageError as error:
            raise BadImageError(str(error)) from error
        except _DAMAGED as error:
            raise BadImageError(
                f"the image is damaged or cut short ({reason(error)}); send it again"
            ) from error
    return [known[spec.height, spec.width, spec.channels, spec.resize] for spec in specs]


def decode(body: bytes, spec: InputSpec, max_pixels: int) -> NDArray[np.uint8]:
    """Decode one still image.

    Args:
        body: a PNG, JPEG or WebP file; its content decides which.
        spec: size and colour that the model takes, and the treatment of other sizes.
        max_pixels: most pixels of the image as stored.

    Returns:
        uint8 [height, width, channels].

    Raises:
        TooManyPixelsError: the image has more pixels, or a side is too long.
        BadImageError: the body is empty or in none of these formats, the image has too many pixels,
            is animated or damaged, or the model does not take it.
    """
    return at_sizes(decode_whole(body, max_pixels), [spec])[0]


def decode_whole(body: bytes, max_pixels: int, formats: tuple[str, ...] = FORMATS) -> PillowImage:
    """Decode one still image at its own size and colour.

    Args:
        body: a file in one of the formats; its content decides which.
        max_pixels: most pixels of the image as stored.
        formats: Pillow's names of the formats that are taken.

    Returns:
        Upright image without transparency, of 8 bits a sample; ``1`` or ``L`` if it is grey.

    Raises:
        TooManyPixelsError: the image has more pixels, or a side is too long.
        BadImageError: the body is empty or in none of these formats, the image has too many pixels,
            has transparent ones, or is animated or damaged.
    """
    if not body:
        raise BadImageError("the body is empty; send an image")
    found = picture(body)
    if (plain := _plain(found, max_pixels)) is not None:
        return plain
    if (size := webp_size(body)) is not None:
        _check_size(*size, max_pixels)
    try:
        image = PIL.Image.open(io.BytesIO(found.file), formats=formats)
    except (PIL.Image.DecompressionBombError, PIL.Image.DecompressionBombWarning) as error:
        raise TooManyPixelsError(f"the image is too large: {reason(error)}") from error
    except UnidentifiedImageError as error:
        *names, last = [_NAMES.get(name, name) for name in formats]
        raise BadImageError(f"the body is no {', '.join(names)} or {last} image") from error
    except _DAMAGED as error:
        raise BadImageError(f"the image's header is damaged ({reason(error)})") from error
    with image:
        return _decoded(image, found, max_pixels)


def _plain(found: Picture, max_pixels: int) -> PillowImage | None:
    """Decode a plain file that is upright; leave every other one to Pillow's plugins."""
    plain = plain_file(found)
    if plain is None or orientation(found.exif, found.xmp) != UPRIGHT:
        return None
    _check_size(plain.width, plain.height, max_pixels)
    return plain.decode()


def _decoded(image: Any, found: Picture, max_pixels: int) -> PillowImage:
    width, height = image.size
    _check_size(width, height, max_pixels)
    _check_still(image)
    try:
        image = _loaded(image, found)
    except _DAMAGED as error:
        raise BadImageError(f"the image is damaged or cut short ({reason(error)}); send it again") from error
    except ImageError as error:
        raise BadImageError(str(error)) from error
    try:
        return flat(image, upright=_tell_orientation(image, found))
    except ImageError as error:
        raise BadImageError(str(error)) from error
    except _DAMAGED as error:
        raise BadImageError(f"the image's metadata or colours are damaged ({reason(error)})") from error


def _loaded(image: Any, found: Picture) -> Any:
    """Decode the pixels, and refuse those of the colour that a PNG file calls transparent."""
    if image.tile and image.tile[0].args == _GREY_ALPHA_16:
        return _grey_of(image)
    image.load()
    if (colour := found.transparent) is not None:
        try:
            refuse_colour(image, colour.samples, colour.depth)
        except ImageError:
            if (colour.depth, image.mode) != (16, "RGB"):
                raise
            _refuse_colour_16(image, found.file, colour)
    return image


def _grey_of(image: Any) -> PillowImage:
    """Decode 16-bit grey with alpha, of which Pillow drops the lower bytes, to 16-bit grey."""
    _decode_as(image, "RGBA")  # the two bytes of a grey value, and the two of its alpha
    samples = np.asarray(image)
    if samples[:, :, 2].min() < 255:
        raise ImageError(TRANSPARENT)
    return PIL.Image.fromarray(samples[:, :, :2].copy().view(">u2")[:, :, 0].astype(np.uint16))


def _refuse_colour_16(image: Any, file: bytes, colour: Colour) -> None:
    """Refuse a 16-bit RGB image of which whole pixels, not just their upper bytes, are transparent."""
    with PIL.Image.open(io.BytesIO(file), formats=("PNG",)) as lower:
        _decode_as(lower, "RGB;16L")  # the file has the upper byte first
        alike = pixels_of_colour(lower, [sample & 255 for sample in colour.samples])
    if (alike & pixels_of_colour(image, [sample >> 8 for sample in colour.samples])).any():
        raise ImageError(TRANSPARENT)


def _decode_as(image: Any, raw: str) -> None:
    image.tile = [image.tile[0]._replace(args=raw)]
    image.load()


def _check_still(image: Any) -> None:
    if getattr(image, "n_frames", 1) > 1:
        raise BadImageError(f"the image is animated ({image.n_frames} frames); send a still image")


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise TooManyPixelsError(
            f"the image is {width}×{height}, more than {max_pixels:,} pixels; send a smaller one"
        )
    if max(width, height) > MAX_SIDE:
        raise TooManyPixelsError(
            f"the image is {width}×{height}, a side longer than {MAX_SIDE:,} pixels; send a smaller one"
        )


def _tell_orientation(image: Any, found: Picture) -> bool:
    """Reduce the image's metadata to its orientation, so that nothing reads through the rest.

    Returns:
        Whether the image is upright.
    """
    exif, xmp = image.info.pop("exif", b""), image.info.pop("xmp", b"")  # of a WebP file
    said = orientation(found.exif or exif, found.xmp or xmp)
    if said != UPRIGHT:
        image.info["exif"] = exif_of(said)
    return said == UPRIGHT
