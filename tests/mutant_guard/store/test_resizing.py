"""Rules by which images get the model's size, against the pipelines that they stand for."""

import io
import os
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from mutant_guard.errors import BadImageError, ImageError
from mutant_guard.images.decoding import convert, decode, picture_of
from mutant_guard.store.manifest import InputSpec
from mutant_guard.store.resizing import ResizeRule
from tests.support.service import encode

SAMPLES = Path(os.environ.get("GUARD_DATA_DIR", "../shared/data")) / "imagenet-samples" / "images.tar"
FILTERS = ["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]
SIZES = [(24, 24), (25, 24), (37, 61), (300, 41), (28, 291), (10, 9), (24, 31), (101, 100)]


def spec(resize: str, height: int = 24, width: int = 24) -> InputSpec:
    ones = [1.0] * 3
    return InputSpec(
        height=height, width=width, channels=3, mean=ones, std=ones, layout="nchw", resize=resize
    )


def picture(width: int, height: int) -> Image.Image:
    noise = np.random.default_rng(width * 1000 + height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(noise)


def usual(image: Image.Image, shorter: int, height: int, width: int, name: str) -> NDArray[np.uint8]:
    """Return what torchvision's ``Resize(shorter)`` and ``CenterCrop`` make of a Pillow image.

    Written down from torchvision/transforms/functional.py.
    """
    w, h = image.size
    short, long = (w, h) if w <= h else (h, w)
    new_short, new_long = shorter, int(shorter * long / short)
    new_w, new_h = (new_short, new_long) if w <= h else (new_long, new_short)
    image = image.resize((new_w, new_h), Image.Resampling[name.upper()])
    top, left = round((new_h - height) / 2.0), round((new_w - width) / 2.0)
    return np.asarray(image.crop((left, top, left + width, top + height)))


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("size", SIZES)
def test_a_crop_has_the_usual_pipelines_pixels(name: str, size: tuple[int, int]) -> None:
    image = picture(*size)
    for shorter, height, width in ((24, 24, 24), (29, 24, 24), (33, 20, 17)):
        found = convert(image, spec(f"crop:{shorter}:{name}", height, width), 1 << 20)
        assert np.array_equal(found, usual(image, shorter, height, width, name))


@pytest.mark.skipif(not SAMPLES.is_file(), reason=f"no ImageNet samples at {SAMPLES}")
def test_photographs_have_the_usual_pipelines_pixels() -> None:
    with tarfile.open(SAMPLES) as tar:
        bodies = [
            tar.extractfile(member).read()  # type: ignore[union-attr]
            for member, _ in zip((member for member in tar if member.isfile()), range(8), strict=False)
        ]
    for body, name in zip(bodies, [*FILTERS, "bilinear", "bicubic"], strict=True):
        with Image.open(io.BytesIO(body)) as opened:
            image = opened.convert("RGB")
        found = decode(body, spec(f"crop:256:{name}", 224, 224), 1 << 24)
        assert np.array_equal(found, usual(image, 256, 224, 224, name))


def test_an_image_of_the_models_size_is_cropped_and_pixels_are_not() -> None:
    image, wanted = picture(24, 24), spec("crop:30")
    cropped = usual(image, 30, 24, 24, "bilinear")
    assert not np.array_equal(cropped, np.asarray(image))
    assert np.array_equal(convert(image, wanted, 1 << 20), cropped)
    assert np.array_equal(decode(encode(np.asarray(image)), wanted, 1 << 20), cropped)
    assert np.array_equal(
        convert(picture_of(np.asarray(picture(31, 24))), wanted, 1 << 20),
        usual(picture(31, 24), 30, 24, 24, "bilinear"),
    )


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_alone_squashes(name: str) -> None:
    found = convert(picture(40, 30), spec(name), 1 << 20)
    assert np.array_equal(found, np.asarray(picture(40, 30).resize((24, 24), Image.Resampling[name.upper()])))


def test_fit_keeps_the_aspect_ratio_and_pads_both_ends_with_black() -> None:
    found = convert(picture(48, 20), spec("fit:bicubic"), 1 << 20)
    assert np.array_equal(found[7:17], np.asarray(picture(48, 20).resize((24, 10), Image.Resampling.BICUBIC)))
    assert not found[:7].any() and not found[17:].any()
    found = convert(picture(10, 20), spec("fit"), 1 << 20)
    assert np.array_equal(
        found[:, 6:18], np.asarray(picture(10, 20).resize((12, 24), Image.Resampling.BILINEAR))
    )
    assert np.array_equal(convert(picture(24, 24), spec("fit"), 1 << 20), np.asarray(picture(24, 24)))


def test_an_image_too_narrow_to_fit_is_refused() -> None:
    with pytest.raises(BadImageError, match="is 600×1 pixels, too narrow to fit 24×24"):
        convert(picture(600, 1), spec("fit"), 1 << 20)


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("size", [(65_535, 1), (1, 65_535), (65_535, 200)])
def test_an_extreme_aspect_ratio_costs_no_more_than_the_crop(name: str, size: tuple[int, int]) -> None:
    image = Image.linear_gradient("L").resize(size, Image.Resampling.BILINEAR).convert("RGB")
    started = time.process_time()
    found = convert(image, spec(f"crop:256:{name}", 224, 224), 1 << 24)
    assert time.process_time() - started < 1
    assert found.shape == (224, 224, 3)
    if min(size) == 1:  # the part that is seen is the image's centre
        assert np.abs(found.astype(int) - np.asarray(image)[size[1] // 2, size[0] // 2]).max() <= 1


@pytest.mark.parametrize("name", ["box", "bilinear", "hamming", "bicubic", "lanczos"])
@pytest.mark.parametrize("size", [(600, 37), (37, 600), (60, 24), (500, 450)])
def test_a_part_computed_alone_is_the_whole_ones(
    name: str, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    image, rule = picture(*size), ResizeRule("crop", name, 40)
    whole = np.asarray(rule.apply(image, height=24, width=30))
    monkeypatch.setattr("mutant_guard.store.resizing._MOST_RESIZED", 0)
    part = np.asarray(rule.apply(image, height=24, width=30))
    assert np.abs(whole.astype(int) - part).max() <= 1


@pytest.mark.parametrize(
    ("text", "shortest"),
    [
        ("exact", "exact"),
        ("bilinear", "bilinear"),
        ("lanczos", "lanczos"),
        ("crop:256", "crop:256"),
        ("crop:0256:bilinear", "crop:256"),
        ("crop:256:bicubic", "crop:256:bicubic"),
        ("fit:bilinear", "fit"),
        ("fit:box", "fit:box"),
    ],
)
def test_a_rule_is_kept_in_its_shortest_form(text: str, shortest: str) -> None:
    assert spec(text).resize == shortest
    assert ResizeRule.parse(shortest) == ResizeRule.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "squash",
        "crop",
        "crop:",
        "crop:a",
        "crop:-1",
        "crop:1.5",
        "crop:256:",
        "crop:256:area",
        "fit:",
        "exact:box",
        "bilinear:box",
        "crop:²",
        "crop:256\n",
        " fit",
        "CROP:256",
        "crop:9999999",
    ],
)
def test_what_is_no_rule_is_refused_with_the_choices(text: str) -> None:
    with pytest.raises(
        ValueError, match=r"is no way to resize: give exact, FILTER, crop:N\[:FILTER\] or fit"
    ):
        ResizeRule.parse(text)
    with pytest.raises(ValidationError, match="no way to resize"):
        spec(text)


@pytest.mark.parametrize(
    ("text", "message"), [("crop:0", "from 1 to 16,384"), ("crop:16385", "from 1 to 16,384")]
)
def test_the_shorter_side_is_bounded(text: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        spec(text)


def test_a_crop_larger_than_the_shorter_side_is_refused() -> None:
    with pytest.raises(
        ValidationError, match=r"crop:23 is smaller than the model's 24×20 pixels: give crop:24 or more"
    ):
        spec("crop:23", 20, 24)
    assert spec("crop:24", 20, 24).resize == "crop:24"


def test_exact_names_the_other_rules() -> None:
    with pytest.raises(
        ImageError, match="takes exactly 24×20; resize it, or build the store with --resize bilinear, crop:N"
    ):
        ResizeRule("exact").apply(picture(9, 9), height=20, width=24)
