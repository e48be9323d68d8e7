"""Small valid images of every kind that is read: the start of fuzzing."""

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image, PngImagePlugin

from benchmarks.fuzz.parts import Part, Parts

_Options = dict[str, object]

_XMP = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
_PROFILE = "\nexif\n      32\n{}\n"

# Options of the encoders, beside none.
_JPEG: tuple[_Options, ...] = (
    {},
    {"progressive": True},
    {"subsampling": 2},
    {"restart_marker_blocks": 1},
    {"optimize": True},
)
_WEBP: tuple[_Options, ...] = (
    {},
    {"lossless": True},
    {"lossless": True, "exact": True},
    {"xmp": _XMP},
)


def images() -> list[bytes]:
    """Return the files; the first are of the digits' size."""
    return [*(_encode(image, kind, **options) for image, kind, options in _all()), _interlaced()]


def exif(orientation: int = 6) -> bytes:
    """Return EXIF with values of several kinds."""
    found = Image.Exif()
    found.update({0x0112: orientation, 0x010F: "maker", 0x011A: 72.0, 0x0128: 2, 0x9286: b"comment"})
    return found.tobytes()


def _all() -> Iterator[tuple[Image.Image, str, _Options]]:
    small, large = _grey(8), _grey(24)
    colour, big = _colour(8), _colour(33)
    for image in (small, colour, large, big, small.quantize(4), colour.quantize(16), small.convert("1")):
        yield image, "PNG", {}
    deep = Image.fromarray((np.asarray(small, np.uint16) * 257).astype(np.uint16))
    yield deep, "PNG", {}
    yield colour.convert("RGBA"), "PNG", {}
    yield small.convert("LA"), "PNG", {}
    yield small, "PNG", {"transparency": 3}
    yield colour.quantize(16), "PNG", {"transparency": bytes(range(240, 256))}
    yield colour, "PNG", {"exif": exif(), "icc_profile": b"profile", "dpi": (72, 72)}
    yield small, "PNG", {"pnginfo": _texts()}
    yield small, "PNG", {"save_all": True, "append_images": [small.rotate(90)]}
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8))
    for kind in ("PNG", "JPEG", "WEBP"):
        yield noise, kind, {"quality": 90}  # so long that it is decoded in a thread
    for options in _JPEG:
        yield colour, "JPEG", options
        yield big, "JPEG", options
    yield small, "JPEG", {"exif": exif(), "comment": b"comment", "icc_profile": b"profile" * 9}
    yield large, "JPEG", {"xmp": _XMP, "progressive": True}
    yield colour.convert("CMYK"), "JPEG", {}
    yield colour, "MPO", {"save_all": True, "append_images": [small.convert("RGB")]}
    for options in _WEBP:
        yield colour, "WEBP", options
        yield big, "WEBP", options
    yield small, "WEBP", {"exif": exif()}
    yield colour.convert("RGBA"), "WEBP", {"icc_profile": b"profile"}
    yield _colour(8, alpha=True), "WEBP", {}
    yield small, "WEBP", {"save_all": True, "append_images": [small.rotate(90)], "duration": 40}


def _interlaced() -> bytes:
    """Return a black PNG of 8 by 8 in the seven passes of Adam7."""
    rows = ((1, 1), (1, 1), (1, 2), (2, 2), (2, 4), (4, 4), (4, 8))
    data = b"".join(bytes(1 + width) * height for height, width in rows)
    header = struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 1)
    return Parts(
        "PNG", [Part(b"IHDR", header), Part(b"IDAT", zlib.compress(data)), Part(b"IEND", b"")]
    ).file()


def _encode(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _grey(side: int) -> Image.Image:
    return Image.fromarray((np.add.outer(np.arange(side), 2 * np.arange(side)) * 5 % 256).astype(np.uint8))


def _colour(side: int, *, alpha: bool = False) -> Image.Image:
    grey = np.asarray(_grey(side))
    return Image.fromarray(np.dstack([grey, grey.T, 255 - grey, *([grey] if alpha else [])]))


def _texts() -> PngImagePlugin.PngInfo:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Comment", "a comment")
    texts.add_text("Packed", "a comment " * 20, zip=True)
    texts.add_text("Raw profile type exif", _PROFILE.format(exif().hex()), zip=True)
    texts.add_itxt("XML:com.adobe.xmp", _XMP.decode(), lang="en", tkey="xmp", zip=True)
    return texts
