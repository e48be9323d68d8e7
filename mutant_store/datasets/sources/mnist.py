"""MNIST and its drop-in replacements: a folder with the four IDX files, gzip-compressed or not."""

import gzip
import math
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mutant_guard.errors import DataError
from mutant_guard.store.choices import Resize
from mutant_store.boundary import boundary
from mutant_store.datasets.conversion import Shape
from mutant_store.datasets.image_data import ImageData
from mutant_store.datasets.memory import check_memory
from mutant_store.datasets.source import Source
from mutant_store.datasets.sources.location import locate
from mutant_store.datasets.spec import DataSpec

_HOLDOUT = 5000
_CLASSES = 10
_MORE = 4096  # bytes read behind those of the header, to see whether there are any


def read(spec: DataSpec, shape: Shape | None, resize: Resize) -> ImageData:
    """Load the split that a SPEC names, [N, 28, 28, 1] for MNIST itself.

    The holdout is cut from the training files. It is the first 5,000 of them, or a tenth where a
    replacement has fewer than 50,000. ``shape`` and ``resize`` are not used: the caller fits the
    images.

    Raises:
        DataError: no split is given, or a file is missing, damaged or of another format.
    """
    folder = locate(spec, "mnist")
    if spec.split is None:
        raise DataError(f"{spec} needs a split: @train, @holdout or @test")
    stem = "t10k" if spec.split == "test" else "train"
    images = read_idx(_find(folder, f"{stem}-images", "idx3-ubyte"), axes=3)[:, :, :, np.newaxis]
    labels = read_idx(_find(folder, f"{stem}-labels", "idx1-ubyte"), axes=1).astype(np.int64)
    if len(images) != len(labels) or not len(images):
        raise DataError(f"{folder}: the {stem} files hold {len(images):,} images and {len(labels):,} labels")
    classes = max(_CLASSES, int(labels.max()) + 1)
    source = Source.of(images, labels, [str(label) for label in range(classes)])
    if spec.split == "test":
        return source.cut(spec, 0, len(source))
    return source.cut_split(spec, holdout=min(_HOLDOUT, len(source) // 10))


def read_idx(path: Path, axes: int) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes with ``axes`` axes; a ``.gz`` file is unpacked on the way.

    Raises:
        DataError: the file is not such an IDX file, or is shorter or longer than its header says.
    """
    with (
        boundary(DataError, f"{path} cannot be read", "download it again"),
        gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file,
    ):
        header = file.read(4 + 4 * axes)
        if len(header) < 4 + 4 * axes or header[:4] != bytes((0, 0, 8, axes)):
            raise DataError(f"{path} is no IDX file of unsigned bytes with {axes} axes; download it again")
        sizes = struct.unpack(f">{axes}I", header[4:])
        expected = math.prod(sizes)
        check_memory(expected, f"the values of {path}, by its header,")
        content = file.read(expected + _MORE)
    if len(content) != expected:
        raise DataError(
            f"{path} holds {len(content):,} bytes where its header says {expected:,}; download it again"
        )
    return np.frombuffer(content, dtype=np.uint8).reshape(sizes)


def _find(folder: Path, stem: str, ending: str) -> Path:
    for name in (f"{stem}-{ending}", f"{stem}.{ending}"):
        for path in (folder / name, folder / f"{name}.gz"):
            if path.is_file():
                return path
    raise DataError(f"{folder} has no {stem}-{ending} or {stem}-{ending}.gz; put the four IDX files there")
