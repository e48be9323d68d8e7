"""Preparation of an image for the inference loop."""

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image as PillowImage

from mutant_guard.bank.views import Inputs
from mutant_guard.errors import BadImageError
from mutant_guard.images.decoding import Image, at_sizes, decode_whole, loaded, picture_of
from mutant_guard.runtime.model import Model


@dataclass(frozen=True)
class Prepared:
    """Image that is ready to be judged.

    Attributes:
        inputs: the image as the networks of the bank read it, arrays [1, …].
        order: int64 [pool], mutant numbers in the order in which this image meets them.
        pixels: uint8 [H, W, C] at the size of the classifier's input.
        key: key under which the judgement is cached.
        body_sha256: sha256 of the image as it was given, in hex.
        seconds: seconds that the preparation took.
    """

    inputs: Inputs
    order: NDArray[np.int64]
    pixels: NDArray[np.uint8]
    key: str
    body_sha256: str
    seconds: float


def prepare(image: Image, model: Model, max_pixels: int) -> Prepared:
    """Decode, hash and order one image for a model.

    This takes time, so an event loop calls it in another thread.

    Args:
        image: the image as it is given.
        model: the store version that is to judge it.
        max_pixels: most pixels of the image as it is given.

    Raises:
        BadImageError: the model does not take the image; the error carries the sha256 of the image.
        OSError: the file cannot be read.
    """
    started = time.perf_counter()
    content = image.read_bytes() if isinstance(image, Path) else image
    digest = hashlib.sha256(content if isinstance(content, bytes) else content.tobytes()).hexdigest()
    try:
        views = _views(content, model, max_pixels)
    except BadImageError as error:
        error.body_sha256 = digest
        raise
    # Read the order once: another one may replace it, and the cache key must name the order that is
    # used.
    order = model.order
    inputs = model.store.manifest.tensors([pixels[None] for pixels in views])
    keyed = order.digest(*views)
    key = hashlib.sha256(f"{model.scope(order)}:".encode() + keyed).hexdigest()
    return Prepared(inputs, order.of_digest(keyed), views[0], key, digest, time.perf_counter() - started)


def _views(
    image: bytes | PillowImage | NDArray[np.uint8], model: Model, max_pixels: int
) -> list[NDArray[np.uint8]]:
    """Return the pixels uint8 [H, W, C] of every view of an image, which is decoded once."""
    specs = model.store.manifest.inputs
    if isinstance(image, bytes):
        return at_sizes(decode_whole(image, max_pixels), specs)
    if not isinstance(image, np.ndarray):
        return at_sizes(loaded(image, max_pixels), specs)
    spec = specs[0]
    wanted = (spec.height, spec.width, spec.channels)
    if image.dtype == np.uint8 and image.shape == wanted:
        own = np.ascontiguousarray(image)
        return [own, *at_sizes(picture_of(own), [spec.squashed for spec in specs[1:]])]
    fits = image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == spec.channels
    if spec.resize == "exact" or not fits or not image.size:
        raise BadImageError(
            f"the pixels are {image.dtype} {list(image.shape)} and model '{model.name}' takes uint8 {list(wanted)}"
            + ("" if spec.resize == "exact" else ", or another height and width, which it resizes")
        )
    return at_sizes(loaded(picture_of(image), max_pixels), specs)
