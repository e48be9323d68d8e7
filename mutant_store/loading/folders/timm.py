"""Treatment of images as timm writes it: ``pretrained_cfg`` in ``config.json``.

The evaluation transform is that of ``timm.data.create_transform``:
https://huggingface.co/docs/timm/main/en/reference/data.
"""

from math import floor
from pathlib import Path
from typing import Annotated, Any

from pydantic import StringConstraints

from mutant_guard.errors import ModelError
from mutant_guard.store.resizing import ResizeRule
from mutant_store.graph.own_names import names_of
from mutant_store.loading.folders.description import FILTERS
from mutant_store.loading.folders.files import Channels, Foreign, Pixels, Share
from mutant_store.loading.input_spec import InputOptions

_MEAN, _STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]

Architecture = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)?$", max_length=128)]
"""Name of a network of timm, with the tag of its weights; no address of a file or a hub."""


class PretrainedConfig(Foreign):
    """Configuration of pretrained weights; only fields that the evaluation transform uses."""

    input_size: tuple[Channels, Pixels, Pixels] = (3, 224, 224)
    test_input_size: tuple[Channels, Pixels, Pixels] | None = None
    interpolation: str = "bicubic"
    crop_pct: Share | None = None
    test_crop_pct: Share | None = None
    crop_mode: str = "center"
    mean: list[float] | None = None
    std: list[float] | None = None
    label_names: list[str] | None = None


class Config(Foreign):
    """Configuration of a network of timm."""

    architecture: Architecture | None = None
    pretrained_cfg: PretrainedConfig | None = None
    num_classes: int | None = None
    global_pool: str | None = None
    model_args: dict[str, Any] | None = None
    label_names: list[str] | None = None

    @property
    def classes(self) -> list[str] | None:
        """Class names in the network's order; None where none are given."""
        return names_of(self.label_names or (self.pretrained_cfg and self.pretrained_cfg.label_names))


def options_of(
    config: PretrainedConfig, size: tuple[int, int] | None, path: Path
) -> tuple[InputOptions, str]:
    """Return the evaluation transform as input options, and why its resize rule is left out, if it is.

    Args:
        config: content of the file.
        size: height and width that the model's file fixes; None where it leaves them open. The
            size that weights are tested at counts where the file has it.
        path: the file, for messages.

    Raises:
        ModelError: a value is not what timm takes.
    """
    (channels, *_), share = config.input_size, config.crop_pct
    wanted = config.input_size[1:]
    if config.test_input_size and size == config.test_input_size[1:] != wanted:
        wanted, share = config.test_input_size[1:], config.test_crop_pct or share
    if config.interpolation not in FILTERS.values():
        raise ModelError(f"{path}: interpolation '{config.interpolation}' is no filter of Pillow")
    mean, std = config.mean or _MEAN, config.std or _STD
    if not len(mean) == len(std) == channels:
        raise ModelError(
            f"{path}: mean and std have {len(mean)} and {len(std)} values for {channels} channel(s); mend them"
        )
    resized = floor(wanted[0] / (share or 0.875)), floor(wanted[1] / (share or 0.875))
    cropped = str(ResizeRule("crop", config.interpolation, resized[0]))
    rule, unread = None, ""
    if config.crop_mode == "squash" and resized == wanted:
        rule = config.interpolation
    elif config.crop_mode == "squash":
        unread = (
            f"squashes images to {resized[1]}×{resized[0]} and cuts out the centre; --resize {cropped}, which keeps "
            "their aspect ratio, is the nearest"
        )
    elif config.crop_mode == "border":
        unread = "pads images with their mean colour; --resize fit, which pads with black, is the nearest"
    elif config.crop_mode != "center":
        raise ModelError(f"{path}: crop_mode '{config.crop_mode}' is none of center, squash and border")
    elif resized[0] != resized[1]:
        unread = f"takes images of {wanted[1]}×{wanted[0]}, no square, from their centre"
    else:
        rule = cropped
    return InputOptions(mean=mean, std=std, resize=rule, size=(wanted[0], wanted[1])), unread
