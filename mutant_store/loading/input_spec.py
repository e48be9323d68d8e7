"""Pixels that the classifier takes.

They follow from its input's shape, its metadata, the options and the data.
"""

from dataclasses import dataclass
from math import isfinite
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from mutant_guard.errors import DataError, ModelError
from mutant_guard.store.choices import ChannelOrder, Layout, Resize
from mutant_guard.store.manifest import InputSpec
from mutant_guard.store.resizing import ResizeRule
from mutant_store.datasets import ImageData, load
from mutant_store.graph.classifier import Classifier

_LONGEST = 1 << 15
_PROBE = 3


@dataclass(frozen=True)
class InputOptions:
    """Options of the user for the classifier's input.

    None takes the value from the model's metadata or shape.

    Attributes:
        mean: one value per channel, pixel range 0 to 1.
        std: one value per channel, pixel range 0 to 1.
        layout: order of the input's axes.
        resize: text of the rule by which images get the model's size; None is ``exact``.
        size: height and width in pixels, where the model leaves them open; None takes those of the
            images.
        channel_order: order of the colours in the channels, and of mean and std; None is ``rgb``.
    """

    mean: list[float] | None = None
    std: list[float] | None = None
    layout: Layout | None = None
    resize: Resize | None = None
    size: tuple[int, int] | None = None
    channel_order: ChannelOrder | None = None


def resolve_input(classifier: Classifier, spec: str, options: InputOptions) -> tuple[InputSpec, ImageData]:
    """Return the classifier's input, and the images of a SPEC in its size and colour.

    Args:
        classifier: the classifier.
        spec: SPEC of the images.
        options: the user's options for the input.

    Raises:
        ModelError: the input's shape is no image's, mean and std do not fit its channels, or they
            are no finite numbers.
        DataError: the images cannot be read or have another size.
    """
    layout = options.layout or classifier.card.layout or _guess_layout(classifier)
    height, width, channels = _image_axes(classifier, layout)
    if options.size is not None:
        if (height or options.size[0], width or options.size[1]) != options.size:
            raise ModelError(
                f"the classifier takes {width}×{height} images, as its file says; leave out --size"
            )
        height, width = options.size
        channels = channels or _flat_channels(classifier, height * width)
        if layout == "flat" and channels is None and classifier.input_shape[0] is not None:
            raise ModelError(
                f"the classifier takes {classifier.input_shape[0]} values, which are no {width}×{height} image of "
                "1 or 3 channels; check --size"
            )
    if channels is None and layout != "flat" and options.mean is not None:
        channels = len(options.mean)
    if height is None or width is None or channels is None:
        natural = load(spec)
        height, width = height or natural.images.shape[1], width or natural.images.shape[2]
        channels = channels or _channels_of(classifier, natural, layout)
    if not (0 < height <= _LONGEST and 0 < width <= _LONGEST):
        raise ModelError(
            f"the input is {width}×{height} pixels under layout {layout}, which is no image's size"
        )
    if channels not in (1, 3):
        raise ModelError(f"the input has {channels} channels under layout {layout}; an image has 1 or 3")
    resize = options.resize or "exact"
    try:
        ResizeRule.parse(resize).check(height=height, width=width)
    except ValueError as error:
        raise ModelError(f"--resize: {error}") from error
    data = load(spec, shape=(height, width, channels), resize=resize)
    mean, std = _normalisation(classifier, options, channels)
    depth: Literal[1, 3] = 1 if channels == 1 else 3
    try:
        found = InputSpec(
            height=height,
            width=width,
            channels=depth,
            mean=mean,
            std=std,
            layout=layout,
            resize=resize,
            channel_order=options.channel_order or "rgb",
        )
    except ValidationError as error:
        raise ModelError(f"--mean, --std: {error.errors()[0]['msg']}") from error
    return found, data


def size_of(classifier: Classifier, options: InputOptions) -> tuple[int, int] | None:
    """Return height and width of a classifier's images in pixels, or None where both leave them open."""
    layout = options.layout or classifier.card.layout or _guess_layout(classifier)
    height, width, _ = _image_axes(classifier, layout)
    return options.size if height is None or width is None else (height, width)


def _normalisation(
    classifier: Classifier, options: InputOptions, channels: int
) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation of every channel, in the pixel range 0 to 1.

    Raises:
        ModelError: the options do not fit the model, or are no finite numbers.
    """
    if classifier.raw_pixels:
        if options.mean or options.std:
            raise ModelError(
                f"the classifier's input '{classifier.input_name}' takes uint8 pixels, before which nothing is "
                "normalised: leave out --mean and --std"
            )
        return [0.0] * channels, [1 / 255] * channels
    mean = options.mean or classifier.card.mean or [0.0] * channels
    std = options.std or classifier.card.std or [1.0] * channels
    if not len(mean) == len(std) == channels:
        raise ModelError(
            f"--mean and --std need {channels} value(s), one a channel; got {len(mean)} and {len(std)}"
        )
    if not all(map(isfinite, (*mean, *std))):
        raise ModelError("--mean and --std must be finite numbers")
    if min(std) <= 0:
        raise ModelError("--std must be above 0 in every channel")
    return mean, std


def probe_inputs(classifier: Classifier, spec: str | None, options: InputOptions) -> NDArray[np.float32]:
    """Return a few inputs that a classifier takes, float32 [3, …], for looking at its inner tensors.

    Args:
        classifier: the classifier.
        spec: SPEC of images; None takes noise.
        options: the user's options for the input.

    Raises:
        ModelError: the size is open, and neither images nor ``options`` say it.
        DataError: the images cannot be read or have another size.
    """
    if spec is not None:
        found, data = resolve_input(classifier, spec, options)
        return found.tensor(data.images[:_PROBE])
    shape = classifier.input_shape
    if None in shape and len(shape) == 3 and options.size is not None:
        layout = options.layout or classifier.card.layout or _guess_layout(classifier)
        _, _, channels = _image_axes(classifier, layout)
        axes = [channels or len(classifier.card.mean or [0.0] * 3)]
        axes[1 if layout == "nchw" else 0 : 0] = [*options.size]
        shape = tuple(axes)
    if None in shape:
        raise ModelError(
            f"the classifier's input is {_shown(shape)}: say its size with --size HEIGHTxWIDTH, or give --data"
        )
    probe = np.random.default_rng(0).standard_normal((_PROBE, *(size or 1 for size in shape)))
    return probe.astype(np.float32)


def _guess_layout(classifier: Classifier) -> Layout:
    shape = classifier.input_shape
    if len(shape) == 1:
        return "flat"
    fits: list[Layout] = []
    if len(shape) == 3:
        fits += ["nchw"] if shape[0] in (1, 3) else []
        fits += ["nhwc"] if shape[2] in (1, 3) else []
    if len(fits) != 1:
        what = "could be either nchw or nhwc" if fits else "is no image's"
        raise ModelError(f"the input's shape {_shown(shape)} {what}; say which with --layout nchw|nhwc|flat")
    return fits[0]


def _image_axes(classifier: Classifier, layout: Layout) -> tuple[int | None, int | None, int | None]:
    shape = classifier.input_shape
    if len(shape) != (1 if layout == "flat" else 3):
        raise ModelError(f"layout {layout} does not fit the input's shape {_shown(shape)}")
    if layout == "flat":
        return None, None, None
    return (shape[1], shape[2], shape[0]) if layout == "nchw" else (shape[0], shape[1], shape[2])


def _channels_of(classifier: Classifier, data: ImageData, layout: Layout) -> int:
    _, height, width, channels = data.images.shape
    if layout != "flat" or classifier.input_shape[0] in (None, height * width * channels):
        return int(channels)
    if other := _flat_channels(classifier, height * width):
        return other
    raise DataError(
        f"the images are {width}×{height} with {channels} channel(s) and the classifier takes "
        f"{classifier.input_shape[0]} values; give images of the size it was trained on"
    )


def _flat_channels(classifier: Classifier, pixels: int) -> int | None:
    return next((depth for depth in (1, 3) if classifier.input_shape == (pixels * depth,)), None)


def _shown(shape: tuple[int | None, ...]) -> str:
    return "[batch, " + ", ".join("?" if size is None else str(size) for size in shape) + "]"
