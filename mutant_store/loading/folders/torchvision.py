"""Treatment of images as torchvision prints it: ``repr(weights.transforms())`` in a text file.

torchvision publishes no format of its own; this is its preset ``ImageClassification``:
https://docs.pytorch.org/vision/stable/models.html.
"""

import ast
import re
from pathlib import Path
from typing import Annotated

from annotated_types import Len
from pydantic import ValidationError

from mutant_guard.errors import ModelError
from mutant_guard.store.resizing import ResizeRule
from mutant_store.boundary import first_line
from mutant_store.loading.folders.description import FILTERS
from mutant_store.loading.folders.files import Foreign, Pixels, read_text
from mutant_store.loading.input_spec import InputOptions

_PRESET = re.compile(r"\s*ImageClassification\((?P<fields>.*)\)\s*", re.DOTALL)
_FIELD = re.compile(r"^\s*(\w+)=(?:InterpolationMode\.(\w+)|(.+?)),?\s*$", re.MULTILINE)

Floats = Annotated[list[float], Len(1, 3)]


class Preset(Foreign):
    """Preset of torchvision: shorter side to ``resize_size``, centre of ``crop_size``."""

    crop_size: Annotated[list[Pixels], Len(1, 1)]
    resize_size: Annotated[list[Pixels], Len(1, 1)]
    mean: Floats
    std: Floats
    interpolation: str


def read(path: Path) -> InputOptions:
    """Read the preset from what torchvision prints of it.

    Raises:
        ModelError: the text is no such preset, or crops more than it resized to.
    """
    found = _PRESET.fullmatch(read_text(path))
    remedy = f"write it again: Path('{path.name}').write_text(repr(weights.transforms()))"
    if found is None:
        raise ModelError(f"{path} does not hold torchvision's ImageClassification(…); {remedy}")
    try:
        fields = {
            name: mode.lower() if mode else ast.literal_eval(value)
            for name, mode, value in _FIELD.findall(found["fields"])
        }
        preset = Preset.model_validate(fields)
    except (ValidationError, ValueError, SyntaxError, RecursionError, MemoryError) as error:
        raise ModelError(f"{path} is not understood ({first_line(error)}); {remedy}") from error
    if preset.interpolation not in FILTERS.values():
        raise ModelError(f"{path}: interpolation {preset.interpolation} is no filter of Pillow; {remedy}")
    (side,), (shorter,) = preset.crop_size, preset.resize_size
    if shorter < side:
        raise ModelError(f"{path} cuts {side}×{side} out of images whose shorter side is {shorter}; {remedy}")
    rule = str(ResizeRule("crop", preset.interpolation, shorter))
    return InputOptions(mean=preset.mean, std=preset.std, resize=rule, size=(side, side))
