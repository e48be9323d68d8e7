"""Keyed fingerprints of decoded images, near for near images."""

import hashlib
import hmac
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

TABLES = 16
"""Tokens of a print: tables of the locality-sensitive hash."""
SKETCH = 128
"""Length of a sketch, in bytes."""
STEPS = 4
"""Steps of a sketch a grey level. Distances of more than 25 grey levels come out as about that."""
WINDOWS = 8
"""Hashes of windows in a print."""
EDITED = 3
"""Hashes in common from which on one image is the other with a part replaced.

Among 20,000 training digits of MNIST one in 4,000 has as many in common with another, among as many
photographs of CIFAR-10 none; so do 9 of 10 queries of the square attack with steps of 0.3 on MNIST.
"""
_PER_TABLE, _WIDTH = 14, 56.0
"""Projections that make a token, and the width of their steps in grey levels of distance.

Of 1,000,000 training images of MNIST twelve share a token on average, of CIFAR-10 three or four,
nearly all of them with none. Of two images at a distance of 6 grey levels 98 in 100 share one or
more of the sixteen, at 10 there are 84.
"""
_FINENESS = 4.0
"""Steps a grey level of the block means has; whole numbers keep every sum exact."""
_FEWEST, _MOST = 14, 16
"""Blocks a side: a number that divides it, or the larger one."""
_EXACT_ROWS = 257
"""Most rows whose sum fits into 16 bits."""
_SMALL = 2048
"""Most values of an image that are summed faster by a product of matrices."""
_DETAILED, _PATCH = 48, 2
"""Most values of a block whose mean still shows noise on single pixels, and the side of a patch that does."""
_WINDOWS_A_SIDE, _SMALLEST_WINDOW, _SAMPLES = 8, 3, 16
_DIFFERENT = 4
"""Fewest different values in a window that is hashed: edges of digits look alike."""
_BITS = np.uint64(1) << (np.arange(256, dtype=np.uint64) * np.uint64(37) % np.uint64(64))
"""Bit of each value, by which different values are counted; those at a distance of 64 share one."""
_RADIUS = 10.0
_RADII = {(28, 28, 1): 6.0}
"""Radii by height, width and channels, in grey levels; ``_RADIUS`` is that of all others.

At most one in a thousand training images has another one that near among 20,000: the 0.1 % quantile
is 6.8 on MNIST, 13 on CIFAR-10, 14 on the 1,000 ImageNet samples. Digits are alike, so that there
changes of 25 grey levels lie outside. ``python -m benchmarks probing`` measures it on test images.
"""


class Print(NamedTuple):
    """Fingerprint of one image.

    Attributes:
        tokens: uint64 [TABLES]; two near images have at least one in common, at the same position.
            Their top bits are the most random ones.
        sketch: uint8 [SKETCH], quantised projections modulo 256; see ``distances``.
        windows: uint64 [WINDOWS], hashes of the exact pixels of windows, in order; zeros stand for
            those that a flat image lacks. Images of which one is the other with a part replaced
            have hashes in common, at any position.
        detail: uint8 [SKETCH], like the sketch, but of patches of 2×2 pixels in place of the blocks
            where these are large: noise on single pixels is gone from their means, and it is by noise
            that samples around an image are told. The sketch itself where blocks are small.
        place: float32 [SKETCH], the projections of the detail before they were quantised, in steps.
        even: float32 [SKETCH], of length 1: the direction in which an image goes that becomes
            brighter everywhere.
    """

    tokens: NDArray[np.uint64]
    sketch: NDArray[np.uint8]
    windows: NDArray[np.uint64]
    detail: NDArray[np.uint8]
    place: NDArray[np.float32]
    even: NDArray[np.float32]


class Fingerprint:
    """Fingerprints under one key of images of one size.

    An image becomes means of blocks, summed over its channels: noise on single pixels averages out.
    Keyed random projections of the means are the sketch, from which the distance of two images is
    estimated (Achlioptas, JCSS 2003: random signs). Quantised and taken together by fourteen they
    are the tokens (E2LSH; Datar et al., SoCG 2004), by which near images are found.

    A large change of a small part moves the means far, and leaves other pixels exactly as they
    were, as no camera, file format or correction of colours does. Therefore the pixels of windows
    are hashed as well, as Blacklight does (Li et al., USENIX Security 2022), where they are
    not nearly flat; the smallest hashes are in the print.

    Who lacks the key can neither foresee which images collide nor read a print back. Replicas with
    the same key make equal prints on any machine: all sums are of whole numbers, and exact.

    Attributes:
        radius: largest distance of two images that count as relatives, root mean square over the
            means, in grey levels.
    """

    def __init__(self, key: bytes, height: int, width: int, channels: int) -> None:
        """Draw the projections.

        Args:
            key: secret; replicas that share a memory have the same.
            height: height of the images in pixels.
            width: width of the images in pixels.
            channels: number of channels of the images.
        """
        self._rows = _blocks(height, 1).T.copy()
        self._columns = _blocks(width, channels)
        counts = self._rows.sum(axis=1)[:, None] * self._columns.sum(axis=0)
        self._scale = (_FINENESS / counts).astype(np.float32)
        cells = counts.size
        random = _Stream(key, f"{height} {width} {channels}")
        signs = random.bits(SKETCH * cells).reshape(cells, SKETCH)
        self._signs = (2.0 * signs - 1.0).astype(np.float32)
        self._unit = np.float32(STEPS / (_FINENESS * cells**0.5))
        even: NDArray[np.float32] = self._signs.sum(axis=0)
        self._even_light = even / max(np.float32(1), np.float32(np.linalg.norm(even)))
        self._parts = np.stack([random.choice(SKETCH, _PER_TABLE) for _ in range(TABLES)])
        shape = (TABLES, _PER_TABLE)
        self._offsets = random.uniform(TABLES * _PER_TABLE).reshape(shape).astype(np.float32)
        self._factors = random.words(TABLES * _PER_TABLE).reshape(shape) | np.uint64(1)
        self._samples = np.ascontiguousarray(_samples(random, height, width, channels).T)
        factors = random.words(self._samples.size // 8).reshape(-1, _SAMPLES // 8)
        self._sample_factors = factors | np.uint64(1)
        large = counts.max() > _DETAILED
        self._patches = _patches(random, self._rows, self._columns, channels) if large else None
        self.radius = _RADII.get((height, width, channels), _RADIUS)
        blocks = len(self._rows)
        self._even = (blocks, height // blocks, width * channels) if height % blocks == 0 else None

    def of(self, pixels: NDArray[np.uint8]) -> Print:
        """Return the print of an image.

        Args:
            pixels: uint8 [H, W, C], of the classifier's size.
        """
        means: NDArray[np.float32] = self._summed(pixels) @ self._columns
        means *= self._scale
        np.rint(means, out=means)
        place, sketch = self._projected(means.ravel())
        steps = (place * np.float32(1.0 / (STEPS * _WIDTH))).take(self._parts)
        steps += self._offsets
        hashed = np.floor(steps, out=steps).astype(np.int64).view(np.uint64)
        hashed *= self._factors
        detail = sketch
        if self._patches is not None:
            sums = pixels.take(self._patches).sum(axis=1, dtype=np.uint16).astype(np.float32)
            place, detail = self._projected(np.rint(sums * np.float32(_FINENESS / self._patches.shape[1])))
        tokens = np.add.reduce(hashed, axis=1)
        return Print(tokens, sketch, self._windows(pixels), detail, place, self._even_light)

    def _projected(self, means: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Return the projections of float32 [blocks] in steps, float32 and quantised."""
        place: NDArray[np.float32] = np.dot(means, self._signs)
        place *= self._unit
        return place, np.floor(place).astype(np.int32).astype(np.uint8)

    def _windows(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint64]:
        values = pixels.take(self._samples)
        different = np.bitwise_count(np.bitwise_or.reduce(_BITS.take(values), axis=1))
        words = values.view("<u8")
        words = words * self._sample_factors
        sums = (words[:, 0] + words[:, 1])[different >= _DIFFERENT]
        sums.sort()
        windows = np.zeros(WINDOWS, np.uint64)
        windows[: len(sums)] = sums[:WINDOWS]
        return windows

    def _summed(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the sums over the rows of every block, [blocks, W * C]."""
        if self._even is not None and self._even[1] <= _EXACT_ROWS and pixels.size > _SMALL:
            sums: NDArray[np.uint16] = pixels.reshape(self._even).sum(axis=1, dtype=np.uint16)
            return sums.astype(np.float32)
        summed: NDArray[np.float32] = self._rows @ pixels.reshape(len(pixels), -1).astype(np.float32)
        return summed


def distances(sketch: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Estimate how far images are from one, by their sketches.

    The error of an estimate is about an eleventh of it. Distances of more than 15 grey levels come
    out smaller than they are, and those of more than 30 as about 25.

    Args:
        sketch: uint8 [SKETCH].
        others: uint8 [N, SKETCH].

    Returns:
        float32 [N], root mean square over the block means, in grey levels.
    """
    gaps = (others - sketch).view(np.int8).astype(np.float32)
    squares: NDArray[np.float32] = np.einsum("ij,ij->i", gaps, gaps)
    roots: NDArray[np.float32] = np.sqrt(squares * np.float32(1.0 / (SKETCH * STEPS**2)))
    return roots


def shared(windows: NDArray[np.uint64], others: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Count the hashes of windows that prints have in common with one.

    Args:
        windows: uint64 [WINDOWS].
        others: uint64 [N, WINDOWS].

    Returns:
        int64 [N].
    """
    equal = others[:, :, None] == windows[windows != 0]
    counts: NDArray[np.int64] = equal.any(axis=2).sum(axis=1)
    return counts


def _samples(random: "_Stream", height: int, width: int, channels: int) -> NDArray[np.int64]:
    """Return int64 [samples, windows], positions among the values of an image."""
    rows, columns = (
        np.linspace(0, side, max(1, min(_WINDOWS_A_SIDE, side // _SMALLEST_WINDOW)) + 1).astype(np.int64)
        for side in (height, width)
    )
    picked = []
    for top, bottom in pairwise(rows):
        for left, right in pairwise(columns):
            down = top + (random.uniform(_SAMPLES) * (bottom - top)).astype(np.int64)
            across = left + (random.uniform(_SAMPLES) * (right - left)).astype(np.int64)
            channel = (random.uniform(_SAMPLES) * channels).astype(np.int64)
            picked.append((down * width + across) * channels + channel)
    return np.stack(picked, axis=1)


def _patches(
    random: "_Stream", rows: NDArray[np.float32], columns: NDArray[np.float32], channels: int
) -> NDArray[np.int64]:
    """Return int64 [blocks, values], positions of a patch in each block among the values of an image.

    Patches are smaller where blocks are.

    Args:
        random: source of the places.
        rows: float32 [blocks, height], 1 where a row belongs to a block.
        columns: float32 [width * channels, blocks], 1 where a value of a row belongs to a block.
        channels: number of channels.
    """
    tops, lefts = rows.argmax(axis=1), columns.argmax(axis=0) // channels
    heights, widths = rows.sum(axis=1), columns.sum(axis=0) // channels
    high, wide = (min(_PATCH, int(sizes.min())) for sizes in (heights, widths))
    draws = random.uniform(2 * len(tops) * len(lefts)).reshape(2, len(tops), len(lefts))
    down = tops[:, None] + np.floor(draws[0] * (heights[:, None] - high + 1)).astype(np.int64)
    across = lefts + np.floor(draws[1] * (widths - wide + 1)).astype(np.int64)
    width = len(columns)
    corners = down * width + across * channels
    inner = np.arange(high)[:, None] * width + np.arange(wide * channels)
    found: NDArray[np.int64] = corners.reshape(-1, 1) + inner.ravel()
    return found


def _blocks(side: int, channels: int) -> NDArray[np.float32]:
    """Return float32 [side * channels, blocks], 1 where a value belongs to a block."""
    blocks = next((n for n in range(_MOST, _FEWEST - 1, -1) if side % n == 0), min(side, _MOST))
    place = np.arange(side) * blocks // side
    return np.repeat(place[:, None] == np.arange(blocks), channels, axis=0).astype(np.float32)


class _Stream:
    """Random numbers that follow from a key, on any machine and under any release of NumPy."""

    def __init__(self, key: bytes, context: str) -> None:
        self._secret = hmac.digest(key, b"fingerprints of queries", "sha256")
        self._context, self._draws = context, 0

    def words(self, count: int) -> NDArray[np.uint64]:
        """Return uint64 [count]."""
        self._draws += 1
        seed = self._secret + f"{self._context} {self._draws}".encode()
        drawn = np.frombuffer(hashlib.shake_256(seed).digest(8 * count), "<u8")
        return drawn.astype(np.uint64)

    def bits(self, count: int) -> NDArray[np.uint8]:
        """Return uint8 [count] of zeros and ones."""
        words = self.words(-(-count // 64)).astype("<u8")
        return np.unpackbits(words.view(np.uint8))[:count]

    def uniform(self, count: int) -> NDArray[np.float64]:
        """Return float64 [count] from 0 to 1."""
        return (self.words(count) >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def choice(self, among: int, count: int) -> NDArray[np.int64]:
        """Return int64 [count], different numbers below ``among``."""
        return np.argsort(self.words(among), kind="stable")[:count]
