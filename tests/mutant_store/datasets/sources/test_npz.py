"""NumPy archives."""

import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mutant_guard.errors import DataError
from mutant_store.datasets import load
from mutant_store.datasets.source import Source

Noise = Callable[..., NDArray[np.uint8]]


@pytest.mark.parametrize("channels", [(), (1,), (3,)])
def test_images_may_have_a_channel_axis(
    tmp_path: Path, random_images: Noise, channels: tuple[int, ...]
) -> None:
    images = random_images(20, 3, 4, *channels)
    np.savez_compressed(tmp_path / "set.npz", x=images, y=np.zeros(20, dtype=np.int32))
    data = load(f"npz:{tmp_path}/set.npz")
    assert data.images.shape == (20, 3, 4, *(channels or (1,)))
    assert sorted(map(bytes, data.images)) == sorted(map(bytes, images))


def test_a_tenth_is_held_out(tmp_path: Path, random_images: Noise) -> None:
    np.savez(tmp_path / "set.npz", x=random_images(25, 2, 2), y=np.arange(25) % 2, classes=["no", "yes"])
    train, holdout = load(f"npz:{tmp_path}/set.npz@train"), load(f"npz:{tmp_path}/set.npz@holdout")
    assert (len(train), len(holdout)) == (23, 2)
    assert not train.range.overlaps(holdout.range)
    assert train.class_names == ("no", "yes")
    with pytest.raises(DataError, match="no test split"):
        load(f"npz:{tmp_path}/set.npz@test")


X = np.zeros((4, 2, 2), dtype=np.uint8)
Y = np.zeros(4, dtype=np.int64)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": X}, "no array 'y'"),
        ({"y": Y}, "no array 'x'"),
        ({"x": X / 255, "y": Y}, "x is float64 and must be uint8"),
        ({"x": X[0], "y": Y}, r"x has shape \(2, 2\)"),
        ({"x": np.zeros((4, 2, 2, 4), dtype=np.uint8), "y": Y}, "must be N×H×W"),
        ({"x": X[:, :0], "y": Y}, "must be N×H×W"),
        ({"x": X, "y": Y[:3]}, "4 images and y 3 labels"),
        ({"x": X[:0], "y": Y[:0]}, "0 images"),
        ({"x": X, "y": Y - 1}, "label -1"),
        ({"x": X, "y": Y.astype(np.float32)}, "must be N integers"),
        ({"x": X, "y": Y + 2, "classes": ["a", "b"]}, "label 2 and classes only 2 names"),
        ({"x": X, "y": np.array([None] * 4, dtype=object)}, "no readable .npz of plain arrays"),
    ],
)
def test_other_arrays_are_refused(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    np.savez(tmp_path / "set.npz", **arrays)
    with pytest.raises(DataError, match=message):
        load(f"npz:{tmp_path}/set.npz")


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "whole.npz", x=X, y=Y)
    np.save(tmp_path / "array.npy", X)
    whole = (tmp_path / "whole.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[:-40])
    (tmp_path / "empty.npz").write_bytes(b"")
    (tmp_path / "text.npz").write_bytes(b"hello")
    for name in ("array.npy", "cut.npz", "empty.npz", "text.npz", ""):
        with pytest.raises(DataError, match=r"no readable \.npz"):
            load(f"npz:{tmp_path}/{name}")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": X, "y": Y + 10**12}, r"y holds label 1000000000000, more than any classifier has classes"),
        ({"x": X, "y": Y.astype(np.uint64) + np.uint64(1 << 63)}, r"y holds label 9223372036854775808"),
        ({"x": X, "y": Y, "classes": [b"\xff\xfe"]}, "classes holds names that are not UTF-8"),
        ({"x": X, "y": Y, "classes": [0.5, 1.5]}, "classes is float64 of shape"),
        ({"x": X, "y": Y, "classes": [["a", "b"]]}, "must be a list of at most"),
    ],
)
def test_labels_and_names_that_are_none_are_refused(
    tmp_path: Path, arrays: dict[str, Any], message: str
) -> None:
    np.savez(tmp_path / "set.npz", **arrays)
    with pytest.raises(DataError, match=message):
        load(f"npz:{tmp_path}/set.npz")


@pytest.mark.parametrize("names", [[b"no", "jà".encode()], np.array(["no", "jà"]), np.array([3, 4])])
def test_names_may_be_text_bytes_or_numbers(tmp_path: Path, names: Any) -> None:
    np.savez(tmp_path / "set.npz", x=X, y=Y, classes=names)
    expected = ("3", "4") if np.asarray(names).dtype.kind == "i" else ("no", "jà")
    assert load(f"npz:{tmp_path}/set.npz").class_names == expected


def test_an_array_that_says_more_than_it_holds_is_refused_before_it_is_made(tmp_path: Path) -> None:
    np.savez(tmp_path / "whole.npz", x=X, y=Y)
    header = np.lib.format.header_data_from_array_1_0(X) | {"shape": (10**7, 1000, 1000)}
    content = io.BytesIO()
    np.lib.format.write_array_header_1_0(content, header)
    with (
        zipfile.ZipFile(tmp_path / "whole.npz") as whole,
        zipfile.ZipFile(tmp_path / "set.npz", "w") as archive,
    ):
        archive.writestr("x.npy", content.getvalue() + X.tobytes())
        archive.writestr("y.npy", whole.read("y.npy"))
    with pytest.raises(DataError, match=r"x\.npy says 10,000,000,000,000 bytes, has 16"):
        load(f"npz:{tmp_path}/set.npz")


def test_an_array_larger_than_the_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "set.npz", x=X, y=Y)
    monkeypatch.setattr(os, "sysconf", lambda name: 4)
    with pytest.raises(
        DataError, match=r"set\.npz: y?x?\.npy: the values take \d+ bytes and this machine has 16 of memory"
    ):
        load(f"npz:{tmp_path}/set.npz")


def test_a_library_that_raises_something_new_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez(tmp_path / "set.npz", x=X, y=Y)

    def broken(*_: object, **__: object) -> None:
        raise NotImplementedError("a new kind of\narray")

    for module, name in ((zipfile, "ZipFile"), (Source, "of")):
        with monkeypatch.context() as patched:
            patched.setattr(module, name, broken)
            with pytest.raises(DataError, match=r"set\.npz .*\(a new kind of\); save"):
                load(f"npz:{tmp_path}/set.npz")
