"""Corrupted images: the sets, their sizes, and whether each does what its name says."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from evaluation.corruptions import shifted
from evaluation.sample_set import SampleSet

SHIFTED = ["noise 0.1", "noise 0.2", "blur", "contrast 0.3", "rotation", "inversion"]


def made(channels: int, side: int = 20, seed: int = 3) -> tuple[NDArray[np.uint8], dict[str, SampleSet]]:
    generator = np.random.default_rng(0)
    rough = generator.integers(60, 200, (9, side, side, channels)).astype(np.float64)
    images = ndimage.gaussian_filter(rough, (0, 1, 1, 0)).round().astype(np.uint8)
    other = generator.integers(0, 256, (4, 8, 13, 4 - channels), dtype=np.uint8)
    sets = shifted(images, np.arange(9), np.arange(9) + 100, seed, other)
    return images, {each.kind: each for each in sets}


@pytest.mark.parametrize("channels", [1, 3])
def test_every_set_has_the_shape_and_its_labels(channels: int) -> None:
    images, sets = made(channels)
    assert list(sets) == [*SHIFTED, "jpeg 10", "uniform noise", "constant", "other data"]
    for kind, each in sets.items():
        assert each.images.dtype == np.uint8
        assert each.images.shape == ((4 if kind == "other data" else 9), *images.shape[1:])
        if kind in ("uniform noise", "constant", "other data"):
            assert (each.labels == -1).all()
            assert (each.sources == -1).all()
        else:
            assert each.labels.tolist() == list(range(9))
            assert each.sources.tolist() == list(range(100, 109))
            assert (each.images != images).any(axis=(1, 2, 3)).all()


def test_each_does_what_its_name_says() -> None:
    images, sets = made(3)
    before = images.astype(np.float64)

    def moved(kind: str) -> NDArray[np.float64]:
        return np.asarray(sets[kind].images - before)

    assert np.std(moved("noise 0.1")) == pytest.approx(25.5, rel=0.05)
    assert np.std(moved("noise 0.2")) > 1.7 * np.std(moved("noise 0.1"))
    assert sets["blur"].images.std(axis=(1, 2)).mean() < images.std(axis=(1, 2)).mean()
    assert sets["contrast 0.3"].images.std() == pytest.approx(0.3 * images.std(), rel=0.1)
    assert (sets["inversion"].images == 255 - images).all()
    assert (sets["rotation"].images[:, 0, 0] == 0).all()
    assert np.abs(moved("jpeg 10")).mean() < 30
    assert (np.ptp(sets["constant"].images, axis=(1, 2)) == 0).all()
    assert np.unique(sets["uniform noise"].images).size == 256


def test_a_seed_decides_and_small_images_are_not_compressed() -> None:
    _, first = made(1, side=8)
    _, again = made(1, side=8)
    _, other = made(1, side=8, seed=4)
    assert "jpeg 10" not in first
    for kind in ("noise 0.1", "rotation", "uniform noise", "constant"):
        assert (first[kind].images == again[kind].images).all()
        assert (first[kind].images != other[kind].images).any()
    without = shifted(first["blur"].images, np.arange(9), np.arange(9), 0)
    assert "other data" not in {each.kind for each in without}
