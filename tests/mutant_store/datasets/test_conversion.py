"""Fitting images to a model's size and colour."""

import os
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mutant_guard.errors import DataError
from mutant_guard.store.choices import Resize
from mutant_guard.store.preprocessing import to_pixels
from mutant_store.datasets.conversion import fit_array, natural_pixels

Noise = Callable[..., NDArray[np.uint8]]


@pytest.mark.parametrize("source", [(5, 6, 1), (5, 6, 3)])
@pytest.mark.parametrize("target", [(5, 6, 1), (5, 6, 3), (8, 4, 1), (3, 3, 3)])
def test_an_array_is_fitted_as_the_server_fits_an_image(
    random_images: Noise, source: tuple[int, ...], target: tuple[int, int, int]
) -> None:
    images = random_images(4, *source)
    resize: Resize = "exact" if source[:2] == target[:2] else "bilinear"
    expected = [
        to_pixels(
            Image.fromarray(pixels.squeeze()),
            height=target[0],
            width=target[1],
            channels=target[2],
            resize=resize,
        )
        for pixels in images
    ]
    assert np.array_equal(fit_array(images, target, resize), np.stack(expected))


def test_nothing_is_done_where_nothing_is_asked(random_images: Noise) -> None:
    images = random_images(2, 3, 3, 3)
    assert fit_array(images, None, "exact") is images
    assert fit_array(images, (3, 3, 3), "exact") is images


def test_another_size_is_refused_unless_resizing_is_asked_for(random_images: Noise) -> None:
    with pytest.raises(DataError, match=r"takes exactly 4×4; resize it"):
        fit_array(random_images(2, 3, 3, 1), (4, 4, 1), "exact")


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("1", 1), ("RGB", 3), ("P", 3), ("CMYK", 3)])
def test_natural_pixels_are_grey_or_colour(mode: str, channels: int) -> None:
    assert natural_pixels(Image.new(mode, (6, 5))).shape == (5, 6, channels)


def test_natural_pixels_follow_the_exif_orientation() -> None:
    image = Image.new("RGB", (6, 5))
    image.getexif()[0x0112] = 6
    assert natural_pixels(image).shape == (6, 5, 3)


def test_images_that_outgrow_the_memory_are_refused_before_they_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sysconf", lambda name: 10)
    with pytest.raises(
        DataError, match="the images at the model's size take 12,000 bytes and this machine has 100"
    ):
        fit_array(np.zeros((10, 4, 4, 3), np.uint8), (20, 20, 3), "bilinear")
