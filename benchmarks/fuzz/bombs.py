"""Images made to take as much time or memory as can be.

Fuzzing is too young to find them.
"""

import io
import struct
import zlib
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image

from benchmarks.fuzz.parts import PNG_MAGIC, Part, Parts, png_chunk

SMALL = 4096
"""Most bytes, and most pixels, of what is decoded in the event loop."""

_MIB = 1 << 20
_SIDE = 4096
_LARGE = 10 * _MIB - 2048
_FLAT = b"\1" * 64  # a quantization table
_SCANS = 98


def bombs() -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Yield each image's name and a function that makes it."""
    yield from _small()
    yield from _metadata()
    yield from _pictures()


def _small() -> Iterator[tuple[str, Callable[[], bytes]]]:
    yield "small: three texts of 1 MiB", lambda: _png(*[_packed(b"zTXt", b"a\0\0", _MIB - 1)] * 3)
    yield "small: three profiles of 1 MiB", lambda: _png(*[_packed(b"iCCP", b"a\0\0", _MIB - 1)] * 3)
    yield (
        "small: XMP of 256 KiB",
        lambda: _png(_packed(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0", _MIB // 4, b"t")),
    )
    yield "small: EXIF in a text of 256 KiB", lambda: _png(_profile(130_000))
    yield "small: EXIF in a text of 1 MiB", lambda: _png(_profile(500_000))
    yield "small: EXIF of values over each other", lambda: _png(png_chunk(b"eXIf", _overlapping(3900)))
    yield "small: pictures in a picture", lambda: _jpeg(Part(b"\xe2", b"MPF\0" + _overlapping(3300)))
    yield "small: 300 chunks", lambda: _png(*[png_chunk(b"prVt", b"")] * 300)
    yield "small: 800 segments", lambda: _jpeg(*[Part(b"\xe5", b"")] * 800)
    yield "small: scans of 64 by 64", lambda: _scans(64, 64, _SCANS)
    yield "small: scans of 4096 by 1", lambda: _scans(4096, 1, _SCANS)
    yield "small: rows of 4 MB", lambda: _png(width=64, height=64, rows=4_000_000)
    yield "small: one line", lambda: _png(width=4096, height=1)
    yield "small: 16 megapixels", lambda: _png(width=_SIDE, height=_SIDE, bits=1)
    yield "small: WebP that says 16 megapixels", lambda: _canvas(_SIDE, _SIDE)
    yield "small: WebP that says 4 megapixels", lambda: _canvas(_SIDE // 2, _SIDE // 2)


def _metadata() -> Iterator[tuple[str, Callable[[], bytes]]]:
    yield "9,000 profiles of 1 MiB", lambda: _png(*[_packed(b"iCCP", b"a\0\0", _MIB - 1)] * 9000)
    yield "60 texts of 1 MiB", lambda: _png(*[_packed(b"zTXt", b"a\0\0", _MIB - 1)] * 60)
    yield "EXIF of 10 MB, values over each other", lambda: _png(png_chunk(b"eXIf", _overlapping(_LARGE)))
    yield "870,000 chunks", lambda: _png(*[png_chunk(b"prVt", b"")] * (_LARGE // 12))
    yield "2,600,000 segments", lambda: _jpeg(*[Part(b"\xe5", b"")] * (_LARGE // 4))
    yield "EXIF of 10 MB in segments", lambda: _jpeg(*_segments(_overlapping(_LARGE - 4096)))
    yield "10 MB of padding before a segment", lambda: _padded(_LARGE - 1024)


def _pictures() -> Iterator[tuple[str, Callable[[], bytes]]]:
    yield "16 megapixels, 16 bit", lambda: _png(width=_SIDE, height=_SIDE, bits=16)
    yield "16 megapixels, 16 bit, with alpha", lambda: _png(width=_SIDE, height=_SIDE, bits=16, colour=6)
    yield "16 million by 1", lambda: _png(width=_SIDE * _SIDE, height=1)
    yield "1 by 16 million", lambda: _png(width=1, height=_SIDE * _SIDE)
    yield "65,535 by 256", lambda: _png(width=65_535, height=256)
    yield "scans of 16 megapixels", lambda: _scans(_SIDE, _SIDE, _SCANS)
    yield "900,000 scans", lambda: _scans(_SIDE, _SIDE, _LARGE // 11)
    yield "WebP of 16 megapixels", lambda: _encoded(_ramp(), "WEBP", lossless=True, method=0)
    yield (
        "WebP of 16 megapixels, lossy",
        lambda: _encoded(_noise(), "WEBP", quality=30),
    )
    yield (
        "JPEG of 16 megapixels",
        lambda: _encoded(_noise(), "JPEG", quality=50),
    )


def _png(
    *chunks: bytes, width: int = 8, height: int = 8, bits: int = 8, colour: int = 0, rows: int | None = None
) -> bytes:
    """Return a black PNG, or a white one with alpha.

    ``rows`` is the length of its rows' data in bytes; by default it is as long as it should be.
    """
    line = 1 + width * bits * {0: 1, 6: 4}[colour] // 8
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    data = zlib.compress(
        bytes(rows) if rows else (b"\0" + (b"\xff" if colour else b"\0") * (line - 1)) * height, 9
    )
    return PNG_MAGIC + header + b"".join(chunks) + png_chunk(b"IDAT", data) + png_chunk(b"IEND", b"")


def _packed(kind: bytes, start: bytes, length: int, letter: bytes = b"\0") -> bytes:
    return png_chunk(kind, start + zlib.compress(letter * length, 9))


def _profile(length: int) -> bytes:
    text = b"\nexif\n 1\n" + _overlapping(length, entries=9).hex().encode()
    return png_chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(text, 9))


def _overlapping(length: int, entries: int | None = None) -> bytes:
    """Return EXIF that turns the image.

    By default half of it is entries, each with the rest as its fractions.
    """
    count = entries or min(length // 24, 65_000)
    start = 14 + 12 * count
    fractions = (length - start) // 8
    listed = [struct.pack("<HHII", 0x0112, 3, 1, 6)]
    listed += [struct.pack("<HHII", tag, 5, fractions, start) for tag in range(0x0113, 0x0113 + count - 1)]
    return (
        b"II*\0"
        + struct.pack("<IH", 8, count)
        + b"".join(listed)
        + bytes(4)
        + b"\1\0\0\0\3\0\0\0" * fractions
    )


def _jpeg(*parts: Part) -> bytes:
    """Return a JPEG with the given segments before its others."""
    body = _encoded(np.zeros((8, 8, 3)), "JPEG")
    return Parts("JPEG", list(parts)).file() + body[2:]


def _segments(exif: bytes) -> list[Part]:
    return [Part(b"\xe1", b"Exif\0\0" + exif[at : at + 65_000]) for at in range(0, len(exif), 65_000)]


def _padded(length: int) -> bytes:
    body = _jpeg()
    return body[:2] + b"\xff" * length + body[2:]


def _scans(width: int, height: int, count: int) -> bytes:
    """Return a progressive JPEG each of whose scans goes through all of its blocks."""

    def scan(first: int, last: int) -> Part:
        return Part(b"\xda", bytes([1, 1, 0, first, last, 13]))

    frame = [
        Part(b"\xdb", b"\0" + _FLAT),
        Part(b"\xc2", struct.pack(">BHHB", 8, height, width, 1) + b"\1\x11\0"),
    ]
    codes = [Part(b"\xc4", bytes([kind, 1, *bytes(15), value])) for kind, value in ((0, 0), (0x10, 1))]
    start = Parts("JPEG", [*frame, *codes, scan(0, 0)], b"\0").file()
    return start + (Parts("JPEG", [scan(1, 63)], b"\0").file()[2:]) * (count - 1) + b"\xff\xd9"


def _noise() -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return np.random.default_rng(0).integers(0, 256, (_SIDE, _SIDE, 3))


def _canvas(width: int, height: int) -> bytes:
    """Return a WebP of this size around a frame of 8 by 8."""
    parts = Parts("WEBP", [])
    frame = _encoded(np.zeros((8, 8, 3)), "WEBP", lossless=True)[12:]
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    place = bytes(6) + (7).to_bytes(3, "little") * 2 + bytes(4)
    parts.parts += [Part(b"VP8X", b"\2\0\0\0" + size), Part(b"ANIM", bytes(6)), Part(b"ANMF", place + frame)]
    return parts.file()


def _ramp() -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    line = np.linspace(0, 255, _SIDE)
    return np.stack(np.broadcast_arrays(line, line[:, None], (line + line[:, None]) / 2), axis=2)


def _encoded(
    pixels: np.ndarray[tuple[int, ...], np.dtype[np.generic]], kind: str, **options: object
) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, kind, **options)
    return file.getvalue()
