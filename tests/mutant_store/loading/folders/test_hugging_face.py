"""What ``preprocessor_config.json`` says, in files as transformers writes them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mutant_guard.errors import ModelError
from mutant_store.loading.folders.files import read_record
from mutant_store.loading.folders.hugging_face import Processor, options_of
from mutant_store.loading.input_spec import InputOptions

IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
ALL = {"do_normalize": True, "do_rescale": True, "do_resize": True, "rescale_factor": 0.00392156862745098}
VIT = {**ALL, **HALF, "image_processor_type": "ViTImageProcessor", "resample": 2}
CONVNEXT = {
    **ALL,
    **IMAGENET,
    "image_processor_type": "ConvNextImageProcessor",
    "resample": 3,
    "crop_pct": 0.875,
}
EFFICIENT = {**VIT, "image_processor_type": "EfficientNetImageProcessor", "size": {"height": 8, "width": 8}}
MOBILEVIT = {
    "crop_size": {"height": 256, "width": 256},
    "do_center_crop": True,
    "do_flip_channel_order": True,
    "do_rescale": True,
    "do_resize": True,
    "image_processor_type": "MobileViTImageProcessor",
    "resample": 2,
    "rescale_factor": 0.00392156862745098,
    "size": {"shortest_edge": 288},
}
FAST = {
    **VIT,
    "image_processor_type": "ViTImageProcessorFast",
    "crop_size": None,
    "do_center_crop": None,
    "do_convert_rgb": None,
    "data_format": "channels_first",
    "input_data_format": None,
    "return_tensors": None,
    "size": {"height": 224, "width": 224},
}


def read(folder: Path, content: dict[str, Any], channels: int = 3) -> tuple[InputOptions, str]:
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps(content))
    return options_of(read_record(path, Processor), channels, path)


@pytest.mark.parametrize(
    ("content", "size", "rule"),
    [
        ({**VIT, "size": {"height": 224, "width": 224}}, 224, "bilinear"),
        ({**ALL, **HALF, "size": 224}, 224, "bilinear"),  # as google/vit-base-patch16-224 says it
        (FAST, 224, "bilinear"),
        ({**CONVNEXT, "size": {"shortest_edge": 224}}, 224, "crop:256:bicubic"),
        ({**CONVNEXT, "size": {"shortest_edge": 384}}, 384, "bicubic"),
        (
            {**CONVNEXT, "feature_extractor_type": "ConvNextFeatureExtractor", "size": 224},
            224,
            "crop:256:bicubic",
        ),
        (MOBILEVIT, 256, "crop:288"),
        (
            {**MOBILEVIT, "image_processor_type": "LevitImageProcessor", "size": {"shortest_edge": 256}},
            256,
            "crop:292",
        ),
        (
            {**CONVNEXT, "image_processor_type": "PoolFormerImageProcessor", "crop_pct": 0.9}
            | {"size": {"shortest_edge": 224}, "crop_size": {"height": 224, "width": 224}},
            224,
            "crop:248:bicubic",
        ),
        ({**VIT, "do_resize": False, "size": {"height": 9, "width": 9}}, None, "exact"),
    ],
)
def test_sizes_and_crops(tmp_path: Path, content: dict[str, Any], size: int | None, rule: str) -> None:
    found, unread = read(tmp_path, content)
    assert (found.size, found.resize, unread) == (size and (size, size), rule, "")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, lambda x: (x / 255 - 0.5) / 0.5),
        ({"do_rescale": False}, lambda x: (x - 0.5) / 0.5),
        ({"do_normalize": False}, lambda x: x / 255),
        ({"do_rescale": False, "do_normalize": False}, lambda x: x),
        ({"image_mean": 0.5, "image_std": 0.25}, lambda x: (x / 255 - 0.5) / 0.25),
        ({"rescale_factor": 1 / 127.5, "rescale_offset": True}, lambda x: (x / 127.5 - 1 - 0.5) / 0.5 / 0.5),
        ({"include_top": False}, lambda x: (x / 255 - 0.5) / 0.5),
    ],
)
def test_normalisation_does_what_the_processor_does(
    tmp_path: Path, changes: dict[str, Any], expected: Any
) -> None:
    top = "rescale_offset" in changes or "include_top" in changes
    found, _ = read(tmp_path, {**(EFFICIENT if top else {**VIT, "size": 8}), **changes})
    assert found.mean is not None
    assert found.std is not None
    pixels = np.array([0.0, 17.0, 255.0])
    assert np.allclose((pixels / 255 - found.mean[0]) / found.std[0], expected(pixels))
    assert len(found.mean) == len(found.std) == 3


def test_three_equal_values_do_for_grey_images(tmp_path: Path) -> None:
    assert read(tmp_path, {**VIT, "size": 8}, channels=1)[0].mean == [0.5]


def test_flipped_channels_are_bgr(tmp_path: Path) -> None:
    assert read(tmp_path, MOBILEVIT)[0].channel_order == "bgr"
    assert read(tmp_path, {**VIT, "size": 8})[0].channel_order == "rgb"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (
            {**VIT, "size": {"height": 256, "width": 256}, "do_center_crop": True, "crop_size": 224},
            "squashes images to 256×256 and cuts out the centre; --resize crop:256,",
        ),
        ({**VIT, "size": {"shortest_edge": 224}}, "--resize crop:224 takes their centre"),
        ({**VIT, "size": {"shortest_edge": 224, "longest_edge": 333}}, "gives no size"),
        ({**VIT, "size": 224, "do_pad": True}, "pads images"),
        (
            {**MOBILEVIT, "size": {"shortest_edge": 224}},
            "cuts 256×256 out of images whose shorter side is 224",
        ),
        ({**MOBILEVIT, "do_resize": False}, "crops images without resizing"),
    ],
)
def test_what_no_rule_does_is_said(tmp_path: Path, content: dict[str, Any], why: str) -> None:
    found, unread = read(tmp_path, content)
    assert found.resize is None
    assert why in unread


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"image_processor_type": "ImageGPTImageProcessor"}, "not treated as ImageGPT's processor does"),
        ({**VIT, "resample": 9, "size": 8}, "resample 9 is no filter"),
        ({**VIT, "image_mean": [0.5, 0.4], "size": 8}, "have 2 and 3 values for 3"),
        ({**ALL, "size": 8}, "gives no image_mean"),
        ({**VIT, "size": {"height": 1e9, "width": 8}}, "'size.Sides.height'"),
        ({**VIT, "size": 8, "image_mean": [float("nan")] * 3}, "finite number"),
        ({**VIT, "size": 8, "rescale_factor": -1}, "rescale_factor is -1"),
        ({**MOBILEVIT, "crop_size": None}, "gives no crop_size"),
    ],
)
def test_what_is_not_understood_is_one_line(tmp_path: Path, content: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message) as error:
        read(tmp_path, content)
    assert "\n" not in str(error.value)
    assert "preprocessor_config.json" in str(error.value)
