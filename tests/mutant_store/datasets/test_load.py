"""Loading a SPEC."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mutant_guard.errors import DataError
from mutant_store.datasets import DataSpec, load


@pytest.fixture
def file(tmp_path: Path, random_images: Callable[..., NDArray[np.uint8]]) -> Path:
    path = tmp_path / "set.npz"
    np.savez(path, x=random_images(40, 4, 4), y=np.arange(40) % 4)
    return path


def test_text_and_parsed_spec_load_the_same(file: Path) -> None:
    text = load(f"npz:{file}@train[2:5]")
    parsed = load(DataSpec("npz", file, "train", 2, 5))
    assert np.array_equal(text.images, parsed.images)
    assert text.range == parsed.range
    assert text.range.spec == f"npz:{file}@train[2:5]"


def test_slices_count_within_the_split_and_ranges_within_the_source(file: Path) -> None:
    train, part = load(f"npz:{file}@train"), load(f"npz:{file}@train[10:]")
    assert (train.range.start, train.range.stop) == (4, 40)
    assert (part.range.start, part.range.stop) == (14, 40)
    assert np.array_equal(train.images[10:], part.images)


def test_types_are_what_they_are_said_to_be(file: Path) -> None:
    data = load(f"npz:{file}", shape=(8, 8, 3), resize="bilinear")
    assert data.images.shape == (40, 8, 8, 3)
    assert data.images.dtype == np.uint8
    assert data.labels.dtype == np.int64
    assert data.class_names == ("0", "1", "2", "3")


@pytest.mark.parametrize("bounds", ["[0:41]", "[40:]", "[7:7]", "[9:3]"])
def test_a_slice_out_of_range_says_how_many_there_are(file: Path, bounds: str) -> None:
    with pytest.raises(DataError, match="holds 40 images"):
        load(f"npz:{file}{bounds}")


@pytest.mark.parametrize("spec", ["npz:nowhere.npz", "mnist:nowhere@test", "imagefolder:nowhere@test"])
def test_a_missing_path_is_named(spec: str) -> None:
    with pytest.raises(DataError, match="there is no 'nowhere"):
        load(spec)


def test_a_misspelt_split_is_hinted_at(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="splits are @train, @holdout and @test"):
        load(f"mnist:{tmp_path}@tset")


def test_without_a_path_the_data_folder_is_looked_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"write mnist:PATH, or set GUARD_DATA_DIR to a folder with mnist/"):
        load("mnist@test")
    with pytest.raises(DataError, match="npz needs a file"):
        load("npz")
    monkeypatch.setenv("GUARD_DATA_DIR", str(tmp_path / "data"))
    with pytest.raises(DataError, match=r"there is no .*data/cifar10"):
        load("imagefolder@test")
    inside = tmp_path / "project"
    inside.mkdir()
    (tmp_path / "shared/data/mnist").mkdir(parents=True)
    monkeypatch.delenv("GUARD_DATA_DIR")
    monkeypatch.chdir(inside)
    with pytest.raises(DataError, match=r"\.\./shared/data/mnist has no t10k-images"):
        load("mnist@test")
