"""Images that are not attacked and still unlike those that a classifier was made for.

The corruptions are simple forms of those of Hendrycks, Dietterich: Benchmarking neural network
robustness to common corruptions and perturbations, ICLR 2019.
"""

from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from evaluation.sample_set import SampleSet

Pixels = NDArray[np.uint8]

_JPEG_SIDE = 16
"""Number of pixels below which a side is hardly more than one block of JPEG's."""


def shifted(
    images: Pixels,
    labels: NDArray[np.int64],
    sources: NDArray[np.int64],
    seed: int,
    other: Pixels | None = None,
) -> list[SampleSet]:
    """Return corrupted copies of images, and images of no class.

    Args:
        images: uint8 [N, H, W, C], N at least 1, C 1 (grey) or 3 (RGB).
        labels: int64 [N], true labels; a corrupted copy keeps its own.
        sources: int64 [N], positions in the test split; a corrupted copy keeps its own.
        seed: seed of noise, angles and grey levels, not negative.
        other: images of another data set, uint8 [M, h, w, c]; they are resampled to H × W and C
            channels.

    Returns:
        Sets of N images, named: ``noise 0.1`` and ``noise 0.2`` (Gaussian, σ in shares of the pixel
            range), ``blur`` (Gaussian, σ a 28th of the height), ``contrast 0.3`` (distances from
            mid-grey times 0.3), ``rotation`` (by 30 to 60 degrees either way, dark corners),
            ``inversion``, ``jpeg 10`` (quality 10; not for images below 16 pixels a side). With
            labels and sources -1: ``uniform noise``, ``constant`` (one colour each), and ``other
            data`` with M images if given.
    """
    sets = []
    for kind, corrupt in _corruptions(images.shape).items():
        generator = np.random.default_rng([seed, *kind.encode()])
        made = np.stack([corrupt(image, generator) for image in images])
        sets.append(SampleSet(kind, made, labels, sources))
    count, height, width, channels = images.shape
    generator = np.random.default_rng([seed, 1])
    noise = generator.integers(0, 256, images.shape, dtype=np.uint8)
    colour = generator.integers(0, 256, (count, 1, 1, channels), dtype=np.uint8)
    sets.append(_of_no_class("uniform noise", noise))
    sets.append(_of_no_class("constant", np.broadcast_to(colour, images.shape).copy()))
    if other is not None:
        sets.append(
            _of_no_class("other data", np.stack([_fitted(image, height, width, channels) for image in other]))
        )
    return sets


def _corruptions(
    shape: tuple[int, ...],
) -> dict[str, Callable[[Pixels, np.random.Generator], Pixels]]:
    _, height, width, _ = shape
    made: dict[str, Callable[[Pixels, np.random.Generator], Pixels]] = {
        "noise 0.1": lambda image, generator: _noisy(image, generator, 0.1),
        "noise 0.2": lambda image, generator: _noisy(image, generator, 0.2),
        "blur": lambda image, _: _rounded(
            ndimage.gaussian_filter(image.astype(np.float64), (height / 28, height / 28, 0))
        ),
        "contrast 0.3": lambda image, _: _rounded(127.5 + 0.3 * (image - 127.5)),
        "rotation": _rotated,
        "inversion": lambda image, _: 255 - image,
    }
    if min(height, width) >= _JPEG_SIDE:
        made["jpeg 10"] = lambda image, _: _compressed(image)
    return made


def _rounded(values: NDArray[np.floating[Any]]) -> Pixels:
    rounded: Pixels = np.rint(np.clip(values, 0, 255)).astype(np.uint8)
    return rounded


def _noisy(image: Pixels, generator: np.random.Generator, size: float) -> Pixels:
    return _rounded(image + generator.normal(0, 255 * size, image.shape))


def _rotated(image: Pixels, generator: np.random.Generator) -> Pixels:
    angle = generator.uniform(30, 60) * generator.choice([-1, 1])
    turned: NDArray[np.float64] = ndimage.rotate(image.astype(np.float64), angle, reshape=False, order=1)
    return _rounded(turned)


def _compressed(image: Pixels) -> Pixels:
    buffer = BytesIO()
    _picture(image).save(buffer, "JPEG", quality=10)
    with Image.open(buffer) as picture:
        return np.asarray(picture, dtype=np.uint8).reshape(image.shape)


def _fitted(image: Pixels, height: int, width: int, channels: int) -> Pixels:
    picture = _picture(image).convert("L" if channels == 1 else "RGB")
    resized = picture.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized, dtype=np.uint8).reshape(height, width, channels)


def _picture(image: Pixels) -> Image.Image:
    return Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)


def _of_no_class(kind: str, images: Pixels) -> SampleSet:
    nowhere = np.full(len(images), -1, dtype=np.int64)
    return SampleSet(kind, images, nowhere, nowhere)
