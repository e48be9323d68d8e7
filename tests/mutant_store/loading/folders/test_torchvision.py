"""What torchvision prints of its preset."""

from pathlib import Path

import pytest

from mutant_guard.errors import ModelError
from mutant_store.loading.folders.torchvision import read

PRESET = """ImageClassification(
    crop_size=[224]
    resize_size=[232]
    mean=[0.485, 0.456, 0.406]
    std=[0.229, 0.224, 0.225]
    interpolation=InterpolationMode.BILINEAR
)"""
"""``print(ResNet50_Weights.IMAGENET1K_V2.transforms())``."""


def written(folder: Path, text: str) -> Path:
    path = folder / "transforms.txt"
    path.write_text(text)
    return path


def test_the_preset_is_a_crop(tmp_path: Path) -> None:
    found = read(written(tmp_path, PRESET))
    assert (found.size, found.resize) == ((224, 224), "crop:232")
    assert (found.mean, found.std) == ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    bicubic = PRESET.replace("BILINEAR", "BICUBIC") + "\n"
    assert read(written(tmp_path, bicubic)).resize == "crop:232:bicubic"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("ImageClassification", "ObjectDetection", "does not hold torchvision's ImageClassification"),
        ("[232]", "[100]", "cuts 224×224 out of images whose shorter side is 100"),
        ("[232]", "__import__('os')", "is not understood"),
        ("mean=[0.485, 0.456, 0.406]", "", "is not understood"),
        ("BILINEAR", "NEAREST_EXACT", "interpolation nearest_exact is no filter"),
    ],
)
def test_other_text_is_one_line_with_the_remedy(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(ModelError, match=message) as error:
        read(written(tmp_path, PRESET.replace(old, new)))
    assert "\n" not in str(error.value)
    assert "write_text(repr(weights.transforms()))" in str(error.value)
