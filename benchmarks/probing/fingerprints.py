"""Fingerprints side by side: which images are relatives under each."""

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from PIL import Image

from benchmarks.probing.embeddings import Embed
from benchmarks.probing.subjects import ProbedData
from benchmarks.sections import Section, Table
from evaluation.queries.clean_streams import Pixels
from service.probing.fingerprint import EDITED, distances, shared

_PAIRS, _STRANGERS, _NEAREST = 200, 10_000, 1000
_FEW = 40
_FALSE, _CHOOSING = 0.001, 1000
_DIGESTS, _QUANTUM, _MATCHING = 50, 50, 25
_PHASH, _PHASH_RADIUS = 8, 6

Change = Callable[[Pixels, np.random.Generator], Pixels]
"""Function from an image to another one."""


def measure(subjects: list[ProbedData], quick: bool, say: Callable[[str], None]) -> Section:
    """Measure pairs of images, changed and unchanged, under every fingerprint."""
    tables = []
    for subject in subjects:
        say(f"{subject.title}: fingerprints")
        tables.append(_table(subject, quick))
    return Section("Fingerprints", tables, [])


@dataclass(frozen=True)
class _Method:
    """Way to compare images: ``of`` an image, and ``related`` of one and many others, bool [N]."""

    of: Callable[[Pixels], NDArray[Any]]
    related: Callable[[NDArray[Any], NDArray[Any]], NDArray[np.bool_]]


def _table(subject: ProbedData, quick: bool) -> Table:
    random = np.random.default_rng(0)
    large = subject.large
    pairs = (_FEW if large else _PAIRS) // (4 if quick else 1)
    others = subject.earlier[: 500 if large else _STRANGERS]
    methods = _methods(subject)
    rows: dict[str, list[str]] = {title: [] for title in ("nearest of others", *_CHANGES)}
    images = subject.images[:pairs]
    changed = {
        title: [(first(image, random), second(image, random)) for image in images]
        for title, (first, second) in _CHANGES.items()
    }
    for name, method in methods.items():
        base = others[:_FEW] if large and "Blacklight" in name else others
        prints = np.stack([method.of(image) for image in base])
        natural = [method.related(method.of(image), prints).any() for image in images]
        rows["nearest of others"].append(f"{100 * np.mean(natural):.1f} %")
        for title, made in changed.items():
            same = [method.related(method.of(one), method.of(two)[None])[0] for one, two in made]
            rows[title].append(f"{100 * np.mean(same):.0f} %")
    sketches = np.stack([subject.fingerprint.of(image).sketch for image in others])
    asked = subject.images[: _NEAREST // (10 if quick else 1)]
    nearest = [distances(subject.fingerprint.of(image).sketch, sketches).min() for image in asked]
    low, middle = np.quantile(nearest, [0.01, 0.5])
    return Table(
        f"Pairs that are relatives, {subject.title}",
        ["", *methods],
        [[title, *cells] for title, cells in rows.items()],
        [
            f"{pairs} images, each against {len(others):,} others in the first line (Blacklight on large images: "
            f"{_FEW}). 'Means' is the distance of block means, {subject.fingerprint.radius:g} grey levels at most; "
            "'windows' are exact windows. The memory takes either. Blacklight: quantised by "
            f"{_QUANTUM}, windows of {_window(subject)}, {_MATCHING} of {_DIGESTS} digests; pHash: "
            f"{_PHASH_RADIUS} of {_PHASH**2} bits may differ. "
            "What the classifier computes anyway is compared by distance, projected to 128 numbers: of one in "
            "a thousand earlier images another earlier one is as near.",
            f"Distance of {len(asked):,} images to the nearest of {len(others):,} others, grey levels: smallest "
            f"{min(nearest):.1f}, 1 % quantile {low:.1f}, median {middle:.1f}.",
        ],
    )


def _window(subject: ProbedData) -> int:
    return 20 if subject.images[0].size < 1000 else 50


def _methods(subject: ProbedData) -> dict[str, _Method]:
    fingerprint, length = subject.fingerprint, _window(subject)
    step = 7 if subject.large else 1
    factors = np.random.default_rng(1).integers(0, 2**63, length, dtype=np.uint64) * 2 + 1

    def blacklight(image: Pixels) -> NDArray[Any]:
        values = (image.ravel() // _QUANTUM).astype(np.uint64) + np.uint64(1)
        sums = sliding_window_view(values, length)[::step] @ factors
        return np.unique(sums * np.uint64(0x9E3779B97F4A7C15))[-_DIGESTS:]

    def phash(image: Pixels) -> NDArray[Any]:
        grey = Image.fromarray(image.mean(axis=2).astype(np.uint8)).resize((32, 32))
        low = (_cosines(32) @ np.asarray(grey, np.float64) @ _cosines(32).T)[:_PHASH, :_PHASH].ravel()
        return low > np.median(low)

    def filled(image: Pixels) -> NDArray[Any]:
        digests = blacklight(image)
        return np.concatenate([digests, np.zeros(_DIGESTS - len(digests), np.uint64)])

    return {
        "means": _Method(
            lambda image: fingerprint.of(image).sketch,
            lambda one, all_: distances(one, all_) <= fingerprint.radius,
        ),
        "windows": _Method(
            lambda image: fingerprint.of(image).windows, lambda one, all_: shared(one, all_) >= EDITED
        ),
        "Blacklight": _Method(
            filled, lambda one, all_: np.isin(all_, one[one != 0]).sum(axis=1) >= _MATCHING
        ),
        "pHash": _Method(phash, lambda one, all_: (one != all_).sum(axis=1) <= _PHASH_RADIUS),
        **{name: _embedded(embed, subject.earlier) for name, embed in subject.embed.items()},
    }


def _embedded(embed: Embed, earlier: Pixels) -> _Method:
    """Return the relation of images that are nearer than one in a thousand earlier images is to another."""
    known = embed(earlier[:_STRANGERS])
    nearest = [np.partition(_gaps(one, known), 1)[1] for one in known[:_CHOOSING]]  # 0 is the image itself
    radius = float(np.quantile(nearest, _FALSE))
    return _Method(lambda image: embed(image[None])[0], lambda one, all_: _gaps(one, all_) <= radius)


def _gaps(one: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = np.linalg.norm(others - one, axis=1)
    return found


def _cosines(side: int) -> NDArray[np.float64]:
    """Return the discrete cosine transform of type II as a matrix [side, side]."""
    numbers = np.arange(side)
    return np.cos(np.pi * (numbers + 0.5) * numbers[:, None] / side)


def _rounded(values: NDArray[np.floating] | NDArray[np.signedinteger]) -> Pixels:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)


def _same(image: Pixels, random: np.random.Generator) -> Pixels:
    return image


def _dense(step: int) -> Change:
    return lambda image, random: _rounded(image + random.choice([-step, step], image.shape))


def _gaussian(sigma: float) -> Change:
    return lambda image, random: _rounded(image + random.normal(0, sigma, image.shape))


def _square(step: int, share: float) -> Change:
    def changed(image: Pixels, random: np.random.Generator) -> Pixels:
        height, width, channels = image.shape
        side = max(1, round((share * height * width) ** 0.5))
        top, left = random.integers(0, height - side + 1), random.integers(0, width - side + 1)
        values = image.astype(np.int64)
        values[top : top + side, left : left + side] += random.choice([-step, step], channels)
        return _rounded(values)

    return changed


def _moved(image: Pixels, random: np.random.Generator) -> Pixels:
    return np.roll(image, 1, axis=1)


def _jpeg(quality: int) -> Change:
    def changed(image: Pixels, random: np.random.Generator) -> Pixels:
        file = BytesIO()
        Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(file, "JPEG", quality=quality)
        with Image.open(file) as opened:
            return np.asarray(opened).reshape(image.shape)

    return changed


def _blend(share: float) -> Change:
    return lambda image, random: _rounded((1 - share) * image + share * image[::-1, ::-1])


_CHANGES: dict[str, tuple[Change, Change]] = {
    "attacks: ±8 on all, two draws": (_dense(8), _dense(8)),
    "±25 on all, two draws": (_dense(25), _dense(25)),
    "NES, noise of 2.5, two draws": (_gaussian(2.5), _gaussian(2.5)),
    "Gaussian noise of 25": (_same, _gaussian(25.0)),
    "square of ±50, 5 % of the image": (_same, _square(50, 0.05)),
    "square of ±76, 20 % of the image": (_same, _square(76, 0.2)),
    "blends of two images, 50 and 45 %": (_blend(0.5), _blend(0.45)),
    "natural: noise of 3, two draws": (_gaussian(3.0), _gaussian(3.0)),
    "moved by a pixel": (_same, _moved),
    "JPEG, qualities 90 and 50": (_jpeg(90), _jpeg(50)),
    "10 grey levels brighter": (_same, lambda image, random: _rounded(image.astype(np.int64) + 10)),
}
