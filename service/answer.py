"""What the guard gives back for one image."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from service.verdict import Judgement

if TYPE_CHECKING:
    from service.model import Model


@dataclass(frozen=True)
class Timings:
    """Where a request's time went, in seconds; 0 where a stage was not needed.

    Attributes:
        decode: from its bytes to the classifier's input, hashing and the order of the mutants included.
        queue: from there to its first run.
        mutants: from the first run to the end of the test.
    """

    decode: float
    queue: float = 0.0
    mutants: float = 0.0


@dataclass(frozen=True)
class Answer:
    """A judgement, and how it came about.

    Attributes:
        model: the store version that judged.
        judgement: what it said.
        guarded: whether mutants were asked; without them the judgement is the bare label.
        cached: whether it was made for an earlier request with the same pixels.
        timings: where the time went.
        body_sha256: of the bytes of the image (or its pixels), in hex.
        pixels_key: names its pixels together with what a judgement depends on besides.
        pixels: uint8 [H, W, C] at model size.
    """

    model: "Model"
    judgement: Judgement
    guarded: bool
    cached: bool
    timings: Timings
    body_sha256: str
    pixels_key: str
    pixels: NDArray[np.uint8] = field(repr=False, compare=False)
