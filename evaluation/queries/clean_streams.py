"""Streams of queries that are no attack, and how often a memory of queries takes them for one."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.probing.fingerprint import Fingerprint
from service.probing.memory import QueryMemory, Seen
from service.probing.sequence import Thresholds

Pixels = NDArray[np.uint8]
"""Image [H, W, C], or images [N, H, W, C]."""

_FOREVER = 1e9
_NEVER = Thresholds(unsettled=10**9, edited=10**9, halvings=10**9, sampled=10**9, settled=10**9)
"""Thresholds of the memory itself, which looks no further at a sequence that is an attack."""
_RETRIED = 0.2
_CHECKED_EVERY = 10
_BURST, _VIDEO = 12, 300
_NOISE = 3.0
"""Standard deviation of sensor noise, in grey levels."""
_SHAKE = 0.3
"""Standard deviation of a hand's motion between two frames, in pixels."""
_PAN = 0.1
"""Way that a slow video goes, as a share of the image's height."""


class Classify(Protocol):
    """Classifier of images uint8 [N, H, W, C]."""

    def __call__(self, images: Pixels, /) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return labels [N] and the confidence in them [N], 0 to 1."""


def still_burst(image: Pixels, random: np.random.Generator) -> Iterator[Pixels]:
    """Return frames of a camera on a tripod: each has noise of its own."""
    return (_noisy(image, random) for _ in range(_BURST))


def hand_burst(image: Pixels, random: np.random.Generator) -> Iterator[Pixels]:
    """Return frames of a camera in a hand: each is moved a little, and has noise of its own."""
    return (_noisy(_moved(image, *random.normal(0, _SHAKE, 2)), random) for _ in range(_BURST))


def qualities(image: Pixels, random: np.random.Generator) -> Iterator[Pixels]:
    """Return the image as it is, and as JPEG files of qualities from 95 down to 40."""
    yield image
    for quality in range(95, 39, -5):
        file = BytesIO()
        Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(file, "JPEG", quality=quality)
        with Image.open(file) as opened:
            yield np.asarray(opened).reshape(image.shape)


def crops(image: Pixels, random: np.random.Generator) -> Iterator[Pixels]:
    """Return the image, and cut up to two pixels further to every side."""
    ways = [(down, across) for down in range(-2, 3) for across in range(-2, 3)]
    return (_rounded(_moved(image, *way)) for way in ways if abs(way[0]) + abs(way[1]) <= 2)


def brightnesses(image: Pixels, random: np.random.Generator) -> Iterator[Pixels]:
    """Return the image in thirteen brightnesses, 30 grey levels darker to 30 brighter."""
    return (_rounded(image.astype(np.float32) + step) for step in range(-30, 31, 5))


def still_video(image: Pixels, random: np.random.Generator) -> Iterator[Pixels]:
    """Return 300 frames of a still scene whose light goes up and down a little."""
    return (_noisy(image + 4.0 * np.sin(number / 40), random) for number in range(_VIDEO))


def slow_video(image: Pixels, random: np.random.Generator) -> Iterator[Pixels]:
    """Return 300 frames of a camera that turns by a tenth of the image."""
    angle = random.uniform(0, 2 * np.pi)
    way = _PAN * image.shape[0] * np.array([np.sin(angle), np.cos(angle)])
    return (_noisy(_moved(image, *(way * number / _VIDEO)), random) for number in range(_VIDEO))


Kind = Callable[[Pixels, np.random.Generator], Iterator[Pixels]]
"""Function from an image to its near-duplicates in a stream."""

KINDS: dict[str, Kind] = {
    "burst, tripod": still_burst,
    "burst, in the hand": hand_burst,
    "JPEG qualities": qualities,
    "crops": crops,
    "brightness": brightnesses,
}
VIDEOS: dict[str, Kind] = {"video, still scene": still_video, "video, slow turn": slow_video}


@dataclass
class CleanStreams:
    """What a memory made of clean streams.

    Attributes:
        streams: number of streams.
        alarmed: number of streams with a query in a sequence that is taken for an attack, for each
            of the thresholds.
        queries: number of queries.
        related: number of relatives at the end of every stream.
        edited: number of queries that were taken for another one with a part replaced.
        repeats: number of queries that repeated another one.
    """

    alarmed: list[int]
    streams: int = 0
    queries: int = 0
    related: list[int] = field(default_factory=list)
    edited: int = 0
    repeats: int = 0


class _Asker:
    """Asker of one memory."""

    def __init__(self, fingerprint: Fingerprint, classify: Classify, limits: Sequence[Thresholds]) -> None:
        self._fingerprint, self._classify, self._limits = fingerprint, classify, limits
        self._memory = QueryMemory(1 << 17, _FOREVER, radius=fingerprint.radius, thresholds=_NEVER)
        self.clean = CleanStreams([0] * len(limits))

    def ask(self, images: Pixels) -> Iterator[Seen]:
        """Ask one image after the other, and yield what is known after each answer."""
        labels, confidences = self._classify(images)
        for image, label, confidence in zip(images, labels, confidences, strict=True):
            digest = hashlib.sha256(image.tobytes()).digest()
            seen = self._memory.seen(self._fingerprint.of(image), digest, "one", 0.0)
            self._memory.answered(seen, int(label), False, float(confidence))
            self.clean.queries += 1
            self.clean.repeats += seen.repeat
            yield seen

    def count(self, stream: Sequence[Seen], alarmed: NDArray[np.bool_]) -> None:
        """Count a stream, and the thresholds under which it is taken for an attack."""
        self.clean.streams += 1
        self.clean.alarmed = [sum(pair) for pair in zip(self.clean.alarmed, alarmed.tolist(), strict=True)]
        sequences = {seen.sequence.number: seen.sequence for seen in stream}.values()
        self.clean.related.append(max(sequence.related for sequence in sequences))
        self.clean.edited += sum(sequence.edited for sequence in sequences)

    def alarms(self, seen: Seen) -> NDArray[np.bool_]:
        """Return bool [thresholds], whether the query's sequence is now taken for an attack."""
        return np.array([seen.sequence.reaches(limits) for limits in self._limits])


def independent(
    before: Pixels,
    images: Pixels,
    fingerprint: Fingerprint,
    classify: Classify,
    limits: Sequence[Thresholds],
) -> CleanStreams:
    """Ask independent images, one stream each, of a memory that holds others.

    Args:
        before: images asked before, which do not count.
        images: images that count.
        fingerprint: fingerprints of the images' size.
        classify: classifier of the images.
        limits: thresholds; each of them is tried.
    """
    asker = _Asker(fingerprint, classify, limits)
    for _ in asker.ask(before):
        pass
    asker.clean = CleanStreams([0] * len(limits))
    for seen in asker.ask(images):
        asker.count([seen], asker.alarms(seen))
    return asker.clean


def near_duplicates(
    kind: Kind,
    images: Pixels,
    fingerprint: Fingerprint,
    classify: Classify,
    limits: Sequence[Thresholds],
    seed: int,
) -> CleanStreams:
    """Ask the near-duplicates of each image of one memory.

    Every fifth query is sent twice, as a client does that lost the answer, and after every ten of
    them comes a health check, which is always the same image.

    Args:
        kind: kind of the near-duplicates.
        images: images, the first of which is the health check's; each other one begins a stream.
        fingerprint: fingerprints of the images' size.
        classify: classifier of the images.
        limits: thresholds; each of them is tried.
        seed: seed of noise, motion and retries.
    """
    random = np.random.default_rng(seed)
    asker = _Asker(fingerprint, classify, limits)
    check, count = images[0], 0
    for image in images[1:]:
        frames: list[Pixels] = []
        for frame in kind(image, random):
            frames += [frame] * (1 + (random.random() < _RETRIED))
            count += 1
            if count % _CHECKED_EVERY == 0:
                frames.append(check)
        stream, alarmed = [], np.zeros(len(limits), np.bool_)
        for frame, seen in zip(frames, asker.ask(np.stack(frames)), strict=True):
            alarmed |= asker.alarms(seen)
            if frame is not check:
                stream.append(seen)
        asker.count(stream, alarmed)
    return asker.clean


def _rounded(values: NDArray[np.floating]) -> Pixels:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)


def _noisy(values: NDArray[np.floating] | Pixels, random: np.random.Generator) -> Pixels:
    return _rounded(values + random.normal(0, _NOISE, values.shape))


def _moved(image: Pixels, down: float, across: float) -> NDArray[np.float32]:
    """Return an image moved by parts of pixels; what comes in from outside repeats the border."""
    height, width, _ = image.shape
    margin = int(np.ceil(max(abs(down), abs(across)))) + 1
    wide = np.pad(image.astype(np.float32), ((margin, margin), (margin, margin), (0, 0)), "edge")
    top, left = int(np.floor(margin + down)), int(np.floor(margin + across))
    below, right = margin + down - top, margin + across - left
    moved = np.zeros(image.shape, np.float32)
    for row, row_share in ((0, 1 - below), (1, below)):
        for column, share in ((0, 1 - right), (1, right)):
            start, end = top + row, left + column
            moved += np.float32(row_share * share) * wide[start : start + height, end : end + width]
    return moved
