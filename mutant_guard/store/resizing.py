"""Rule by which an image of another size becomes one of the model's size.

The filters are Pillow's, which widen with the reduction (antialiasing), as the usual pipelines on
Pillow images use them: https://pillow.readthedocs.io/en/stable/handbook/concepts.html#filters.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, floor
from typing import Literal

from PIL import Image, ImageOps

from mutant_guard.errors import ImageError

RESIZE_CHOICES = (
    "exact, FILTER, crop:N[:FILTER] or fit[:FILTER], where FILTER is nearest, box, bilinear, hamming, bicubic "
    "or lanczos (bilinear where none is given)"
)
"""Grammar of a rule, for messages."""

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "hamming": Image.Resampling.HAMMING,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
_GRAMMAR = re.compile(
    rf"(?P<exact>exact)|(?P<squash>{'|'.join(_FILTERS)})"
    rf"|(?:crop:(?P<shorter>[0-9]{{1,6}})|(?P<fit>fit))(?::(?P<filter>{'|'.join(_FILTERS)}))?"
)
_LONGEST = 1 << 14
_MOST_RESIZED = 1 << 23
"""Most pixels of a whole resized image that is then cropped, at four bytes each."""
_REACH = 3
"""Pixels of the result to either side that a filter looks at, at most: those of lanczos."""


@dataclass(frozen=True)
class ResizeRule:
    """Rule by which an image becomes one of the model's size.

    Attributes:
        kind: ``exact`` refuses images of another size. ``squash`` resamples to the model's size,
            whatever the aspect ratio. ``crop`` resamples so that the shorter side has ``shorter``
            pixels, and takes the centre. ``fit`` resamples to the largest size that fits in, keeps
            the aspect ratio, and pads both ends of the other side alike with black.
        filter: name of the filter that resamples.
        shorter: length of the shorter side in pixels before the crop; 0 under other kinds.
    """

    kind: Literal["exact", "squash", "crop", "fit"]
    filter: str = "bilinear"
    shorter: int = 0

    @staticmethod
    @lru_cache(maxsize=64)
    def parse(text: str) -> "ResizeRule":
        """Read a rule from its text.

        Raises:
            ValueError: the text is no rule; the message names those that there are.
        """
        found = _GRAMMAR.fullmatch(text)
        if found is None:
            raise ValueError(f"{text[:64]!a} is no way to resize: give {RESIZE_CHOICES}")
        if found["exact"]:
            return ResizeRule("exact")
        if found["squash"]:
            return ResizeRule("squash", found["squash"])
        name = found["filter"] or "bilinear"
        if found["fit"]:
            return ResizeRule("fit", name)
        shorter = int(found["shorter"])
        if not 0 < shorter <= _LONGEST:
            raise ValueError(
                f"{text} resizes to {shorter:,} pixels: give crop:N with N from 1 to {_LONGEST:,}"
            )
        return ResizeRule("crop", name, shorter)

    def __str__(self) -> str:
        """Return the shortest text that gives this rule."""
        if self.kind in ("exact", "squash"):
            return self.kind if self.kind == "exact" else self.filter
        start = f"crop:{self.shorter}" if self.kind == "crop" else "fit"
        return start if self.filter == "bilinear" else f"{start}:{self.filter}"

    def check(self, *, height: int, width: int) -> None:
        """Refuse a rule that does not fill the model's size.

        Raises:
            ValueError: the shorter side would be shorter than the crop.
        """
        if self.kind == "crop" and self.shorter < max(height, width):
            raise ValueError(
                f"{self} is smaller than the model's {width}×{height} pixels: give crop:{max(height, width)} or more"
            )

    def apply(self, image: Image.Image, *, height: int, width: int) -> Image.Image:
        """Return an image at the model's size.

        ``crop`` gives the pixels of torchvision's ``Resize(shorter)`` and ``CenterCrop`` on a
        Pillow image: the longer side is rounded down, and half a pixel of the crop's offset to the
        even neighbour. Where the whole resized image would have more than eight million pixels,
        only the part within the crop is computed, with positions that are rounded otherwise.

        Args:
            image: 8-bit grey or RGB image.
            height: rows the model takes, in pixels.
            width: columns the model takes, in pixels.

        Raises:
            ImageError: the image has another size under ``exact``, or is so narrow that nothing is
                left of it under ``fit``.
        """
        filtering = _FILTERS[self.filter]
        if self.kind == "crop":
            return self._crop(image, height, width)
        if image.size == (width, height):
            return image
        if self.kind == "squash":
            return image.resize((width, height), filtering)
        if self.kind == "fit":
            if round(min(width / image.width, height / image.height) * min(image.size)) < 1:
                raise ImageError(
                    f"the image is {image.width}×{image.height} pixels, too narrow to fit {width}×{height}"
                )
            return ImageOps.pad(image, (width, height), filtering)
        raise ImageError(
            f"the image is {image.width}×{image.height} pixels and this model takes exactly {width}×{height}; "
            "resize it, or build the store with --resize bilinear, crop:N or fit"
        )

    def _crop(self, image: Image.Image, height: int, width: int) -> Image.Image:
        filtering = _FILTERS[self.filter]
        longer = int(self.shorter * max(image.size) / min(image.size))
        size = (self.shorter, longer) if image.width <= image.height else (longer, self.shorter)
        left, top = round((size[0] - width) / 2.0), round((size[1] - height) / 2.0)
        if image.size == size or size[0] * size[1] <= _MOST_RESIZED:
            return image.resize(size, filtering).crop((left, top, left + width, top + height))
        spans = [
            _span(start, count, given / wanted, given)
            for start, count, given, wanted in zip(
                (left, top), (width, height), image.size, size, strict=True
            )
        ]
        (x, right, *horizontal), (y, bottom, *vertical) = spans
        box = (horizontal[0], vertical[0], horizontal[1], vertical[1])
        return image.crop((int(x), int(y), int(right), int(bottom))).resize((width, height), filtering, box)


def _span(start: int, count: int, scale: float, given: int) -> tuple[float, float, float, float]:
    """Return the part of one axis of an image that ``count`` pixels of the resized image hang on.

    Returns:
        First and last pixel of the image that the filter looks at, and where the pixels from
        ``start`` on begin and end, counted from that first one.
    """
    begin, end, reach = start * scale, (start + count) * scale, _REACH * max(scale, 1) + 1
    first, last = max(floor(begin - reach), 0), min(ceil(end + reach), given)
    return first, last, max(begin - first, 0.0), min(end - first, float(last - first))
