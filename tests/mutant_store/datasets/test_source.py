"""The fixed order of a source."""

import hashlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mutant_guard.errors import DataError
from mutant_store.datasets.source import Source, digest
from mutant_store.datasets.spec import DataSpec

SPEC = DataSpec("npz")


def test_a_digest_covers_shape_and_pixels() -> None:
    pixels = np.arange(6, dtype=np.uint8)
    assert digest(pixels.reshape(2, 3, 1)) == hashlib.sha256(b"2x3x1:" + bytes(range(6))).digest()
    assert digest(pixels.reshape(2, 3, 1)) != digest(pixels.reshape(3, 2, 1))


@given(st.permutations(range(12)))
def test_the_order_depends_on_the_pixels_alone(shuffled: list[int]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (12, 2, 2, 1), dtype=np.uint8)
    labels = np.repeat(np.arange(4), 3)
    names = ("a", "b", "c", "d")
    one, other = Source.of(images, labels, names), Source.of(images[shuffled], labels[shuffled], names)
    assert one.name == other.name
    first, second = one.cut(SPEC, 0, 12), other.cut(SPEC, 0, 12)
    assert np.array_equal(first.images, second.images)
    assert np.array_equal(first.labels, second.labels)
    assert first.range == second.range


def test_equal_images_are_ordered_by_label() -> None:
    images = np.zeros((3, 1, 1, 1), dtype=np.uint8)
    source = Source.of(images, np.array([2, 0, 1]), ("a", "b", "c"))
    assert source.cut(SPEC, 0, 3).labels.tolist() == [0, 1, 2]


def test_the_order_mixes_classes(random_images: Callable[..., NDArray[np.uint8]]) -> None:
    source = Source.of(random_images(400, 4, 4, 1), np.repeat(np.arange(4), 100), ("a", "b", "c", "d"))
    for start in range(0, 400, 100):
        counts = np.bincount(source.cut(SPEC, start, start + 100).labels, minlength=4)
        assert counts.min() >= 10


def test_a_source_without_a_holdout_is_cut_in_two(random_images: Callable[..., NDArray[np.uint8]]) -> None:
    source = Source.of(random_images(10, 2, 2, 1), np.zeros(10, dtype=np.int64), ("a",))
    holdout = source.cut_split(DataSpec("npz", split="holdout"), 3)
    train = source.cut_split(DataSpec("npz", split="train"), 3)
    assert (holdout.range.start, holdout.range.stop, train.range.start, train.range.stop) == (0, 3, 3, 10)
    assert not holdout.range.overlaps(train.range)
    assert len(source.cut_split(SPEC, 3)) == 10
    with pytest.raises(DataError, match="no test split"):
        source.cut_split(DataSpec("npz", split="test"), 3)
    with pytest.raises(DataError, match="too few"):
        source.cut_split(DataSpec("npz", split="holdout"), 0)
