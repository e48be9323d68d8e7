"""PNG files of every kind, and what they show, written after the specification alone.

https://www.w3.org/TR/png-3/. Neither the encoder nor the reference uses an image library.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product

import numpy as np
from numpy.typing import NDArray

from tests.support.service import chunk

GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6
DEPTHS = {
    GREY: (1, 2, 4, 8, 16),
    RGB: (8, 16),
    PALETTE: (1, 2, 4, 8),
    GREY_ALPHA: (8, 16),
    RGB_ALPHA: (8, 16),
}
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGB_ALPHA: 4}
NONE, UNUSED, USED = "opaque", "transparency that no pixel has", "transparent pixels"

_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_WHOLE = ((0, 0, 1, 1),)
_HEIGHT, _WIDTH = 11, 9

Samples = NDArray[np.int64]


@dataclass(frozen=True)
class Png:
    """PNG file and what it shows.

    Attributes:
        name: kind of the file.
        body: the file.
        transparent: whether pixels of it are not opaque.
        shown: what it shows, uint8 [H, W, 1] for grey, else [H, W, 3].
    """

    name: str
    body: bytes = field(repr=False)
    transparent: bool
    shown: NDArray[np.uint8] = field(repr=False)


def every_png() -> Iterator[Png]:
    """Yield files of all colour types, depths, kinds of transparency and orders of lines."""
    for colour, how, adam7 in product(DEPTHS, (NONE, UNUSED, USED), (False, True)):
        for depth in DEPTHS[colour]:
            yield _png(colour, depth, how, adam7)


def file_of(
    samples: Samples, colour: int, depth: int, *, adam7: bool = False, chunks: tuple[bytes, ...] = ()
) -> bytes:
    """Return a PNG file of samples [H, W, channels], with chunks before its picture."""
    height, width, _ = samples.shape
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, adam7)
    lines = b"".join(
        _lines(samples[top::down, left::right], depth)
        for left, top, right, down in (_ADAM7 if adam7 else _WHOLE)
    )
    parts = (chunk(b"IHDR", header), *chunks, chunk(b"IDAT", zlib.compress(lines)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _png(colour: int, depth: int, how: str, adam7: bool) -> Png:
    random = np.random.default_rng([colour, depth])
    most = (1 << depth) - 1
    samples = random.integers(0, most + 1, (_HEIGHT, _WIDTH, CHANNELS[colour]))
    chunks: tuple[bytes, ...] = ()
    if colour in (GREY_ALPHA, RGB_ALPHA):
        samples[:, :, -1] = most
        if how == USED:
            samples[5, 4, -1] = most >> 1
        shown = samples[:, :, :-1]
    elif colour == PALETTE:
        colours = random.integers(0, 256, (most + 1, 3))
        samples = np.minimum(samples, most - 1)  # the last entry is of no pixel
        entry = {NONE: None, UNUSED: most, USED: int(samples[5, 4, 0])}[how]
        chunks = (chunk(b"PLTE", colours.astype(np.uint8).tobytes()),)
        if entry is not None:
            # Opaque entries, one that is transparent, and none for the others.
            chunks += (chunk(b"tRNS", b"\xff" * entry + (b"\0" if depth < 8 else b"\x80")),)
        shown = colours[samples[:, :, 0]]
    else:
        key = samples[5, 4].copy()
        if how == UNUSED:
            # As near as can be: of 16 bits, the upper byte is that of a pixel.
            key[-1] ^= 1
            samples[(samples == key).all(axis=2)] = samples[5, 4]
        if how != NONE:
            chunks = (chunk(b"tRNS", struct.pack(f">{len(key)}H", *key)),)
        shown = samples
    name = f"colour type {colour}, {depth} bits, {how}{', Adam7' if adam7 else ''}"
    body = file_of(samples, colour, depth, adam7=adam7, chunks=chunks)
    return Png(name, body, how == USED, _in_8_bits(shown, 8 if colour == PALETTE else depth))


def _in_8_bits(samples: Samples, depth: int) -> NDArray[np.uint8]:
    """Scale samples: grey of 16 bits to the nearest value, RGB of 16 bits by its upper bytes."""
    if depth == 16 and samples.shape[2] == 3:
        return np.asarray(samples >> 8, np.uint8)
    return np.asarray(np.rint(samples * (255 / ((1 << depth) - 1))), np.uint8)


def _lines(samples: Samples, depth: int) -> bytes:
    """Pack and filter the lines of one pass, each with another filter than the one before it."""
    height, _, channels = samples.shape
    if not samples.size:
        return b""
    if depth == 16:
        packed = samples.astype(">u2").reshape(height, -1).view(np.uint8)
    else:
        bits = samples.reshape(height, -1, 1) >> np.arange(depth - 1, -1, -1) & 1
        packed = np.packbits(bits.reshape(height, -1).astype(np.uint8), axis=1)
    step = max(1, channels * depth // 8)
    above, filtered = [0] * packed.shape[1], b""
    for number, line in enumerate(packed.tolist()):
        left = [0] * step + line[:-step]
        corner = [0] * step + above[:-step]
        kind = number % 5
        guesses = [
            _guess(kind, *around)
            for around in zip(left[: len(line)], above, corner[: len(line)], strict=True)
        ]
        filtered += bytes(
            [kind, *((value - guess) % 256 for value, guess in zip(line, guesses, strict=True))]
        )
        above = line
    return filtered


def _guess(kind: int, left: int, above: int, corner: int) -> int:
    """Return what a filter (9.2) takes off a byte."""
    if kind < 4:
        return (0, left, above, (left + above) // 2)[kind]
    estimate = left + above - corner
    return min((left, above, corner), key=lambda neighbour: abs(estimate - neighbour))
