"""IDX files."""

import gzip
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mutant_guard.errors import DataError
from mutant_store.datasets import load
from mutant_store.datasets.sources.mnist import read_idx

Noise = Callable[..., NDArray[np.uint8]]
WriteIdx = Callable[[Path, NDArray[np.uint8]], Path]


@pytest.fixture
def write_set(random_images: Noise, write_idx: WriteIdx) -> Callable[..., Path]:
    def write(folder: Path, ending: str = "", dash: str = "-") -> Path:
        folder.mkdir()
        for stem, count in (("train", 50), ("t10k", 12)):
            labels = (np.arange(count) % 10).astype(np.uint8)
            write_idx(
                folder / f"{stem}-images{dash}idx3-ubyte{ending}", random_images(count, 4, 5, seed=count)
            )
            write_idx(folder / f"{stem}-labels{dash}idx1-ubyte{ending}", labels)
        return folder

    return write


def test_plain_and_packed_files_are_the_same_data(tmp_path: Path, write_set: Callable[..., Path]) -> None:
    folders = [
        write_set(tmp_path / "a"),
        write_set(tmp_path / "b", ".gz"),
        write_set(tmp_path / "c", "", "."),
    ]
    first, *others = (load(f"mnist:{folder}@train") for folder in folders)
    for other in others:
        assert np.array_equal(first.images, other.images)
        assert np.array_equal(first.labels, other.labels)
        assert first.range.source == other.range.source


def test_the_holdout_is_cut_from_the_training_files(tmp_path: Path, write_set: Callable[..., Path]) -> None:
    folder = write_set(tmp_path / "set")
    train, holdout, test = (load(f"mnist:{folder}@{split}") for split in ("train", "holdout", "test"))
    assert [len(part) for part in (train, holdout, test)] == [45, 5, 12]
    assert train.range.source == holdout.range.source != test.range.source
    assert not train.range.overlaps(holdout.range)
    assert train.images.shape[1:] == (4, 5, 1)
    assert train.class_names == tuple("0123456789")


def test_a_split_is_needed(tmp_path: Path, write_set: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match="@train, @holdout or @test"):
        load(f"mnist:{write_set(tmp_path / 'set')}")


def test_more_classes_than_ten_are_named(tmp_path: Path, random_images: Noise, write_idx: WriteIdx) -> None:
    write_idx(tmp_path / "t10k-images-idx3-ubyte", random_images(3, 2, 2))
    write_idx(tmp_path / "t10k-labels-idx1-ubyte", np.array([0, 25, 3], dtype=np.uint8))
    assert len(load(f"mnist:{tmp_path}@test").class_names) == 26


def test_images_and_labels_must_be_as_many(tmp_path: Path, random_images: Noise, write_idx: WriteIdx) -> None:
    write_idx(tmp_path / "t10k-images-idx3-ubyte", random_images(3, 2, 2))
    write_idx(tmp_path / "t10k-labels-idx1-ubyte", np.zeros(4, dtype=np.uint8))
    with pytest.raises(DataError, match="3 images and 4 labels"):
        load(f"mnist:{tmp_path}@test")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no t10k-images-idx3-ubyte or t10k-images-idx3-ubyte\.gz"):
        load(f"mnist:{tmp_path}@test")


def test_a_damaged_file_is_refused(tmp_path: Path, random_images: Noise, write_idx: WriteIdx) -> None:
    whole = write_idx(tmp_path / "whole", random_images(3, 2, 2)).read_bytes()
    assert read_idx(tmp_path / "whole", axes=3).shape == (3, 2, 2)
    packed = gzip.compress(whole)
    for name, content, message in (
        ("short", whole[:-1], "holds 11 bytes where its header says 12"),
        ("long", whole + b"x", "holds 13 bytes"),
        ("header", whole[:9], "no IDX file"),
        ("empty", b"", "no IDX file"),
        ("floats", bytes((0, 0, 13, 3)) + whole[4:], "no IDX file of unsigned bytes"),
        ("cut.gz", packed[:-12], "cannot be read"),
        ("text.gz", b"<html>not found</html>", "cannot be read"),
        ("bits.gz", packed[:14] + b"\xff\xff\xff" + packed[17:], "cannot be read"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=message):
            read_idx(tmp_path / name, axes=3)
    with pytest.raises(DataError, match="with 1 axes"):
        read_idx(tmp_path / "whole", axes=1)


def test_a_file_that_unpacks_to_more_than_its_header_says_is_not_unpacked(
    tmp_path: Path, random_images: Noise, write_idx: WriteIdx
) -> None:
    whole = write_idx(tmp_path / "whole", random_images(3, 2, 2)).read_bytes()
    bomb = tmp_path / "bomb.gz"
    bomb.write_bytes(gzip.compress(whole + bytes(1 << 26)))
    tracemalloc.start()
    with pytest.raises(DataError, match="bytes where its header says 12"):
        read_idx(bomb, axes=3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 23


def test_images_larger_than_the_memory_are_refused(tmp_path: Path) -> None:
    (tmp_path / "huge").write_bytes(bytes((0, 0, 8, 3)) + b"\xff" * 12)
    with pytest.raises(DataError, match=r"huge, by its header, take [0-9,]+ bytes and this machine has"):
        read_idx(tmp_path / "huge", axes=3)
