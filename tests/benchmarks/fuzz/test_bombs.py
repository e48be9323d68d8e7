"""Tests that images made to take long are what their names say."""

import io

import pytest
from PIL import Image

from benchmarks.fuzz.bombs import SMALL, bombs
from service.settings import Settings

BOMBS = dict(bombs())
SMALL_ONES = [name for name in BOMBS if name.startswith("small")]


def test_small_ones_are_decoded_in_the_event_loop() -> None:
    assert len(SMALL_ONES) > 10
    for name in SMALL_ONES:
        assert len(BOMBS[name]()) <= SMALL, name


@pytest.mark.parametrize("name", ["870,000 chunks", "EXIF of 10 MB in segments", "900,000 scans"])
def test_large_ones_are_as_large_as_a_body_may_be(name: str) -> None:
    limit = Settings.model_fields["max_body_bytes"].default
    assert 0.99 * limit < len(BOMBS[name]()) <= limit


@pytest.mark.parametrize("name", ["small: 16 megapixels", "16 megapixels, 16 bit", "scans of 16 megapixels"])
def test_large_pictures_are_as_large_as_one_may_be(name: str) -> None:
    with Image.open(io.BytesIO(BOMBS[name]())) as image:
        assert image.size[0] * image.size[1] == Settings.model_fields["max_pixels"].default


@pytest.mark.filterwarnings("ignore:Image appears to be a malformed MPO file")
@pytest.mark.parametrize("name", SMALL_ONES)
def test_pillow_reads_the_small_ones(name: str) -> None:
    """Pillow must read these images, or the benchmark would measure a refusal."""
    with Image.open(io.BytesIO(BOMBS[name]())) as image:
        assert image.format in ("PNG", "JPEG", "MPO", "WEBP")
