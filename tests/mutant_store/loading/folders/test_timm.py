"""What timm's ``pretrained_cfg`` says, in a file as timm publishes it."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from mutant_guard.errors import ModelError
from mutant_store.loading.folders.timm import Config, PretrainedConfig, options_of
from mutant_store.loading.input_spec import InputOptions

RESNET18: dict[str, Any] = {
    "tag": "a1_in1k",
    "custom_load": False,
    "input_size": [3, 224, 224],
    "test_input_size": [3, 288, 288],
    "fixed_input_size": False,
    "interpolation": "bicubic",
    "crop_pct": 0.95,
    "test_crop_pct": 1.0,
    "crop_mode": "center",
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
    "num_classes": 1000,
    "pool_size": [7, 7],
    "first_conv": "conv1",
    "classifier": "fc",
    "origin_url": "https://github.com/huggingface/pytorch-image-models",
}
"""The weights resnet18.a1_in1k, as their config.json has it."""


def read(size: tuple[int, int] | None = None, **changes: Any) -> tuple[InputOptions, str]:
    return options_of(PretrainedConfig.model_validate({**RESNET18, **changes}), size, Path("config.json"))


@pytest.mark.parametrize(
    ("fixed", "changes", "size", "rule"),
    [
        (None, {}, 224, "crop:235:bicubic"),
        ((224, 224), {}, 224, "crop:235:bicubic"),
        ((288, 288), {}, 288, "crop:288:bicubic"),
        (None, {"crop_pct": 0.875, "interpolation": "bilinear"}, 224, "crop:256"),
        (None, {"crop_pct": None}, 224, "crop:256:bicubic"),
        (None, {"crop_pct": 1.0, "crop_mode": "squash"}, 224, "bicubic"),
    ],
)
def test_sizes_and_crops(
    fixed: tuple[int, int] | None, changes: dict[str, Any], size: int, rule: str
) -> None:
    found, unread = read(fixed, **changes)
    assert (found.size, found.resize, unread) == ((size, size), rule, "")
    assert found.mean == [0.485, 0.456, 0.406]


def test_mean_and_filter_have_timms_defaults() -> None:
    found, _ = options_of(PretrainedConfig.model_validate({}), None, Path("config.json"))
    assert (found.mean, found.resize) == ([0.485, 0.456, 0.406], "crop:256:bicubic")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        (
            {"crop_mode": "squash"},
            "squashes images to 235×235 and cuts out the centre; --resize crop:235:bicubic",
        ),
        ({"crop_mode": "border"}, "pads images with their mean colour; --resize fit"),
        ({"input_size": [3, 224, 112]}, "takes images of 112×224, no square"),
    ],
)
def test_what_no_rule_does_is_said(changes: dict[str, Any], why: str) -> None:
    found, unread = read(**changes)
    assert found.resize is None
    assert why in unread


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"interpolation": "random"}, "interpolation 'random'"),
        ({"crop_mode": "other"}, "crop_mode 'other'"),
        ({"mean": [0.5]}, "have 1 and 3 values"),
    ],
)
def test_what_timm_does_not_take_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        read(**changes)


@pytest.mark.parametrize("name", ["hf-hub:someone/model", "local-dir:/tmp", "../resnet18"])
def test_an_architecture_is_a_name_and_no_address(name: str) -> None:
    with pytest.raises(ValidationError):
        Config.model_validate({"architecture": name})
    assert Config.model_validate({"architecture": "resnet18"}).architecture == "resnet18"
