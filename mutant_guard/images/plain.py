"""Decoding of plain files: their samples go straight to Pillow's decoders.

Pillow's plugins read a file piece by piece in Python, which takes longer than the networks of a
small store. A plain file has nothing but a header and 8-bit samples, grey or colour. The decoder is
the one that the plugin would call, so the pixels are the same. Whatever it refuses is for the
plugin, which tells why.
"""

import zlib
from dataclasses import dataclass
from typing import Literal

import PIL.Image
from PIL.Image import Image as PillowImage

from mutant_guard.images.containers import CHUNK, JPEG, PNG, SCAN, Picture, segments

_HEADER_BYTES = 33
"""Bytes of a PNG file up to the end of its header."""
_MODES: dict[int, Literal["L", "RGB"]] = {1: "L", 3: "RGB"}
_PNG_MODES = {bytes((8, 0, 0, 0, 0)): _MODES[1], bytes((8, 2, 0, 0, 0)): _MODES[3]}
"""Modes by depth, colour type, compression, filters and interlacing."""

_FRAMES = frozenset((0xC0, 0xC1, 0xC2))  # baseline, extended and progressive, with Huffman codes
_LEAST = dict.fromkeys(_FRAMES | {0xC4, 0xDB, 0xDD}, 4) | {0xE0: 18, 0xEE: 16}
"""Least bytes of the segments of a plain JPEG file, by marker: also of tables, JFIF and Adobe."""


@dataclass(frozen=True)
class PlainFile:
    """Image file that is nothing but samples.

    Attributes:
        mode: Pillow's name of the samples.
        width: width in pixels, at least 1.
        height: height in pixels, at least 1.
        decoder: Pillow's name of the decoder.
        arguments: arguments of the decoder.
        samples: what the decoder reads.
    """

    mode: Literal["L", "RGB"]
    width: int
    height: int
    decoder: Literal["zip", "jpeg"]
    arguments: tuple[str, ...]
    samples: bytes

    def decode(self) -> PillowImage | None:
        """Decode the samples; return None where Pillow's plugin has to tell what is wrong."""
        try:
            return PIL.Image.frombytes(
                self.mode, (self.width, self.height), self.samples, self.decoder, *self.arguments
            )
        except ValueError:
            return None


def plain_file(found: Picture) -> PlainFile | None:
    """Recognise a plain file; nothing is decoded, so that limits can be checked first.

    Args:
        found: the parts of a file that make the picture.

    Returns:
        The file's samples; None where there is more to it.
    """
    if found.transparent is not None:
        return None
    if found.file.startswith(PNG):
        return _png(found.file)
    return _jpeg(found.file) if found.file.startswith(JPEG) else None


def _png(file: bytes) -> PlainFile | None:
    header = file[12:29]
    mode = _PNG_MODES.get(header[12:])
    if mode is None or file[8:16] != b"\0\0\0\rIHDR" or zlib.crc32(header) != int.from_bytes(file[29:33]):
        return None
    at, samples, kind = _HEADER_BYTES, [], b""
    while at + CHUNK.size <= len(file):
        length, kind = CHUNK.unpack_from(file, at)
        if kind != b"IDAT":
            break
        samples.append(file[at + CHUNK.size : at + CHUNK.size + length])
        at += length + 12
    if kind != b"IEND" or at + 12 > len(file):
        return None
    width, height = int.from_bytes(header[4:8]), int.from_bytes(header[8:12])
    return PlainFile(mode, width, height, "zip", (mode,), b"".join(samples)) if width and height else None


def _jpeg(file: bytes) -> PlainFile | None:
    frame = b""
    for code, start, end in segments(file, len(JPEG)):
        if code == SCAN:
            break
        if end - start < _LEAST.get(code, end) or (frame and code in _FRAMES):
            return None
        if code in _FRAMES:
            frame = file[start + 4 : end]
    mode = _MODES.get(frame[5]) if len(frame) > 5 and frame[0] == 8 else None
    width, height = int.from_bytes(frame[3:5]), int.from_bytes(frame[1:3])
    if mode is None or not (width and height):
        return None
    return PlainFile(mode, width, height, "jpeg", (mode, ""), file)
