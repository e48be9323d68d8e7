"""Small data sets on disk, in every form that a SPEC can name."""

import gzip
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]


@pytest.fixture(autouse=True)
def _no_default_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Make a SPEC without a path find nothing, unless a test says where to look."""
    monkeypatch.delenv("GUARD_DATA_DIR", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def random_images() -> Callable[..., Pixels]:
    """Return a function that draws noise of any shape, the same for the same seed."""

    def make(*shape: int, seed: int = 0) -> Pixels:
        return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)

    return make


@pytest.fixture
def write_idx() -> Callable[..., Path]:
    """Return a function that writes an array of bytes as an IDX file, in gzip for a name in .gz."""

    def write(path: Path, array: Pixels) -> Path:
        header = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
        content = header + array.tobytes()
        path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
        return path

    return write


@pytest.fixture
def image_folder(random_images: Callable[..., Pixels]) -> Callable[..., Path]:
    """Return a function that writes noise as PNG files CLASS/NNN.png under the given folders.

    It writes ``count`` files for each class.
    """

    def write(
        root: Path, *folders: str, classes: tuple[str, ...] = ("cat", "dog"), count: int = 20, seed: int = 0
    ) -> Path:
        for number, folder in enumerate(folders or ("",)):
            images = random_images(len(classes), count, 5, 6, 3, seed=seed + number)
            for name, of_class in zip(classes, images, strict=True):
                place = root / folder / name
                place.mkdir(parents=True)
                for position, pixels in enumerate(of_class):
                    Image.fromarray(pixels).save(place / f"{position:03}.png")
        return root

    return write


@pytest.fixture
def archive() -> Callable[..., Path]:
    """Return a function that packs a folder's content as a tar archive, compressed by its name."""

    def pack(folder: Path, path: Path, prefix: str = "") -> Path:
        compression = "" if path.suffix == ".tar" else path.suffix.removeprefix(".")
        with tarfile.open(path, f"w:{compression}") as tar:  # type: ignore[call-overload]
            tar.add(folder, arcname=prefix or ".")
        return path

    return pack
