"""From the bytes of a request to what the inference loop takes."""

import hashlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from service.errors import BadImageError
from service.images import decode

if TYPE_CHECKING:
    from service.model import Model

Image = bytes | NDArray[np.uint8]
"""An image as it comes: an encoded file, or pixels [H, W, C] at model size."""


@dataclass(frozen=True)
class Prepared:
    """An image ready to be judged.

    Attributes:
        inputs: float32 [1, …], the classifier's input.
        order: int64 [pool], mutant numbers in the order this image meets them.
        pixels: uint8 [H, W, C] at model size.
        key: what its judgement is kept under.
        body_sha256: of what came, in hex.
        seconds: what this took.
    """

    inputs: NDArray[np.float32]
    order: NDArray[np.int64]
    pixels: NDArray[np.uint8]
    key: str
    body_sha256: str
    seconds: float


def prepare(image: Image, model: "Model", max_pixels: int) -> Prepared:
    """Decode, hash and order one image for a model. Runs in a thread of its own: all of it takes time.

    Raises:
        BadImageError: no image the model takes; it carries the sha256 of the body.
    """
    started = time.perf_counter()
    spec = model.store.manifest.input
    digest = hashlib.sha256(image if isinstance(image, bytes) else image.tobytes()).hexdigest()
    try:
        pixels = decode(image, spec, max_pixels) if isinstance(image, bytes) else _checked(image, model)
    except BadImageError as error:
        error.body_sha256 = digest
        raise
    order = (
        model.order
    )  # once: another may take its place, and a judgement is kept under the one it was made in
    inputs = spec.tensor(pixels[None])
    key = hashlib.sha256(f"{model.scope(order)}:{pixels.shape}:".encode() + pixels.tobytes()).hexdigest()
    return Prepared(inputs, order.mutants(pixels), pixels, key, digest, time.perf_counter() - started)


def _checked(pixels: NDArray[np.uint8], model: "Model") -> NDArray[np.uint8]:
    spec = model.store.manifest.input
    wanted = (spec.height, spec.width, spec.channels)
    if pixels.dtype != np.uint8 or pixels.shape != wanted:
        raise BadImageError(
            f"the pixels are {pixels.dtype} {list(pixels.shape)} and model '{model.name}' takes uint8 {list(wanted)}"
        )
    return np.ascontiguousarray(pixels)
