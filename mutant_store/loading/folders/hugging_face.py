"""Treatment of images as Hugging Face transformers writes it: ``preprocessor_config.json``.

The fields are those of its image processors:
https://huggingface.co/docs/transformers/main_classes/image_processor. Where a processor does more
than its fields say, ``_PECULIAR`` and the functions below do what its class does.
"""

from pathlib import Path
from typing import Any

from mutant_guard.errors import ModelError
from mutant_guard.store.choices import ChannelOrder
from mutant_guard.store.resizing import ResizeRule
from mutant_store.loading.folders.description import FILTERS
from mutant_store.loading.folders.files import Channels, Foreign, Pixels, Share
from mutant_store.loading.input_spec import InputOptions

_SHORTER = ("ConvNext", "CLIP", "MobileNetV1", "MobileNetV2", "PoolFormer", "Levit", "Bit", "MobileViT")
"""Processors for which a size of one number is that of the shorter side; for others it is both."""
_BICUBIC = ("Beit", "Bit", "CLIP", "DeiT", "EfficientNet", "Levit", "PoolFormer")
"""Processors that resample with this filter where the file names none."""
_CROPS = ("Bit", "CLIP", "DeiT", "Levit", "MobileNetV1", "MobileNetV2", "MobileViT", "PoolFormer")
"""Processors that cut out the centre unless the file says otherwise."""
_PECULIAR = ("ImageGPT", "Perceiver", "Siglip2", "TimmWrapper")
"""Processors that treat images in ways that no option here describes."""
_SQUASHED_FROM = 384
_CONVNEXT, _LEVIT = 224 / 256, 256 / 224


class Sides(Foreign):
    """Size of an image: both sides, or the shorter one."""

    height: Pixels | None = None
    width: Pixels | None = None
    shortest_edge: Pixels | None = None
    longest_edge: Pixels | None = None


class Processor(Foreign):
    """Image processor of transformers; only fields that classifiers use."""

    image_processor_type: str | None = None
    feature_extractor_type: str | None = None
    do_resize: bool | None = None
    size: Sides | Pixels | None = None
    resample: int | None = None
    crop_pct: Share | None = None
    do_center_crop: bool | None = None
    crop_size: Sides | Pixels | None = None
    do_pad: bool | None = None
    do_rescale: bool | None = None
    rescale_factor: float | None = None
    rescale_offset: bool | None = None
    include_top: bool | None = None
    do_normalize: bool | None = None
    image_mean: list[float] | float | None = None
    image_std: list[float] | float | None = None
    do_flip_channel_order: bool | None = None

    @property
    def kind(self) -> str:
        """Name of the processor's class without its ending; empty where the file gives none."""
        name = self.image_processor_type or self.feature_extractor_type or ""
        return name.removesuffix("Fast").removesuffix("ImageProcessor").removesuffix("FeatureExtractor")


class Config(Foreign):
    """Configuration of a model of transformers; only fields that a build uses."""

    architectures: list[str] | None = None
    model_type: str | None = None
    id2label: dict[str, Any] | None = None
    num_channels: Channels | None = None
    image_size: Any = None


def options_of(processor: Processor, channels: int, path: Path) -> tuple[InputOptions, str]:
    """Return what a processor does as input options, and why its resize rule is left out, if it is.

    Args:
        processor: content of the file.
        channels: number of channels of the model's images.
        path: the file, for messages.

    Raises:
        ModelError: the processor does what no option describes, or lacks a value that it needs.
    """
    if processor.kind in _PECULIAR:
        raise ModelError(
            f"{path}: images are not treated as {processor.kind}'s processor does; export the model to ONNX with this "
            "treatment inside, and give the file"
        )
    mean, std = _normalisation(processor, channels, path)
    size, resize, unread = _sizes(processor, path)
    flips = processor.do_flip_channel_order
    if flips is None:
        flips = processor.kind == "MobileViT"
    order: ChannelOrder = "bgr" if flips and channels == 3 else "rgb"
    return InputOptions(mean=mean, std=std, resize=resize, size=size, channel_order=order), unread


def _normalisation(processor: Processor, channels: int, path: Path) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation of the pixel range 0 to 1 that do what the processor does.

    The processor multiplies pixels 0 to 255 by a factor, then subtracts its mean and divides by its
    standard deviation.
    """
    factor = 1.0
    if processor.do_rescale is not False:
        factor = processor.rescale_factor or 1 / 255
        if factor <= 0:
            raise ModelError(f"{path}: rescale_factor is {factor}; it must be above 0")
    mean, std = [0.0] * channels, [1.0] * channels
    given = processor.image_mean is not None and processor.image_std is not None
    if processor.do_normalize and not given:
        raise ModelError(f"{path} normalises and gives no image_mean and image_std; add them to it")
    if processor.do_normalize is not False and given:
        mean = _by_channel(processor.image_mean, channels)
        std = _by_channel(processor.image_std, channels)
    if not len(mean) == len(std) == channels:
        raise ModelError(
            f"{path}: image_mean and image_std have {len(mean)} and {len(std)} values for {channels} channel(s)"
        )
    if processor.rescale_offset:
        mean = [value + 1 for value in mean]
    scale = std
    if processor.kind == "EfficientNet" and processor.include_top is not False:
        scale = [value * value for value in std]
    most = 255 * factor
    if abs(most - 1) < 1e-6:  # the factor is written with as many digits as it has
        most = 1.0
    return [value / most for value in mean], [value / most for value in scale]


def _by_channel(value: list[float] | float | None, channels: int) -> list[float]:
    values = value if isinstance(value, list) else [value or 0.0]
    return values[:1] * channels if len(set(values)) == 1 else values


def _sizes(processor: Processor, path: Path) -> tuple[tuple[int, int] | None, str | None, str]:
    """Return the size of the model's images, the resize rule, and why there is none."""
    target, cut = _resizing(processor, path)
    number = processor.resample
    name = FILTERS.get((3 if processor.kind in _BICUBIC else 2) if number is None else number)
    if name is None:
        raise ModelError(f"{path}: resample {number} is no filter of Pillow, which are 0 to 5")
    rule, unread = None, ""
    if processor.do_resize is False:
        rule, unread = (None, "crops images without resizing them") if cut else ("exact", "")
    elif processor.do_pad:
        unread = "pads images; --resize fit is the nearest"
    elif target is None:
        unread = "gives no size that says both sides, or the shorter one"
    elif isinstance(target, tuple):
        rule = name if cut in (None, target) else None
        nearest = ResizeRule("crop", name, max(min(target), *(cut or (0,))))
        if rule is None:
            unread = (
                f"squashes images to {target[1]}×{target[0]} and cuts out the centre; --resize {nearest}, which keeps "
                "their aspect ratio, is the nearest"
            )
        cut = cut or target
    elif cut is None:
        whole = ResizeRule("crop", name, target)
        unread = f"keeps images as long as they are; --resize {whole} takes their centre"
    elif max(cut) > target:
        unread = f"cuts {cut[1]}×{cut[0]} out of images whose shorter side is {target}"
    else:
        rule = str(ResizeRule("crop", name, target))
    return cut, rule, unread


def _resizing(
    processor: Processor, path: Path
) -> tuple[int | tuple[int, int] | None, tuple[int, int] | None]:
    """Return what images are resized to, the shorter side or both, and the size that is cut out."""
    kind, size, cut = processor.kind, processor.size, None
    if processor.do_center_crop or (processor.do_center_crop is None and kind in _CROPS):
        cut = _both(processor.crop_size)
        if cut is None:
            raise ModelError(f"{path} crops images and gives no crop_size with a height and a width; add it")
    shorter, both = _shorter(size, kind), _both(size)
    if kind == "ConvNext" and shorter:
        squashed = shorter >= _SQUASHED_FROM
        square = shorter, shorter
        return (square, None) if squashed else (int(shorter / (processor.crop_pct or _CONVNEXT)), square)
    if kind == "PoolFormer" and processor.crop_pct and (shorter or (both and both[0] == both[1])):
        return int((shorter or (both or (0,))[0]) / processor.crop_pct), cut
    if kind == "Levit" and shorter:
        return int(_LEVIT * shorter), cut
    return shorter or both, cut


def _both(size: Sides | int | None) -> tuple[int, int] | None:
    if isinstance(size, Sides):
        return (size.height, size.width) if size.height and size.width else None
    return (size, size) if size else None


def _shorter(size: Sides | int | None, kind: str) -> int | None:
    if isinstance(size, Sides):
        return None if size.longest_edge else size.shortest_edge
    return size if kind in _SHORTER else None
