"""NumPy archive of images.

It holds ``x`` uint8 [N, H, W] or [N, H, W, C], ``y`` integers [N], and ``classes`` names if given.
"""

import math
import zipfile
from pathlib import Path

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from mutant_guard.errors import DataError
from mutant_guard.store.choices import Resize
from mutant_store.boundary import boundary, check_no_pointer
from mutant_store.datasets.conversion import Shape
from mutant_store.datasets.image_data import ImageData
from mutant_store.datasets.memory import check_memory
from mutant_store.datasets.source import Source
from mutant_store.datasets.sources.location import existing
from mutant_store.datasets.spec import DataSpec

_MOST_CLASSES = 100_000
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def read(spec: DataSpec, shape: Shape | None, resize: Resize) -> ImageData:
    """Load all images, or the first tenth of the fixed order as holdout and the rest as train.

    ``shape`` and ``resize`` are not used: the caller fits the images.

    Raises:
        DataError: the file is missing or damaged, an array is missing, has another shape or type or
            does not fit into memory, labels or names are none, or the split is ``test``.
    """
    if spec.path is None:
        raise DataError("npz needs a file: npz:FILE")
    arrays = _load(existing(spec.path, spec))
    for name in ("x", "y"):
        if name not in arrays:
            raise DataError(
                f"{spec.path} has no array {name!r}; save it with np.savez(file, x=images, y=labels)"
            )
    images, labels = _images(arrays["x"], spec.path), _labels(arrays["y"], spec.path)
    if len(images) != len(labels) or not len(images):
        raise DataError(f"{spec.path}: x holds {len(images):,} images and y {len(labels):,} labels")
    numbered = "classes" not in arrays
    names = _numbers(labels, spec.path) if numbered else _names(arrays["classes"], spec.path)
    if labels.max() >= len(names):
        raise DataError(f"{spec.path}: y holds label {labels.max()} and classes only {len(names)} names")
    source = Source.of(images, labels, names, numbered=numbered)
    return source.cut_split(spec, holdout=len(source) // 10)


def _load(path: Path) -> dict[str, NDArray[np.generic]]:
    what, remedy = f"{path} is no readable .npz of plain arrays", "save it with np.savez"
    # Pickled arrays could run code, so they are refused. NumPy leaves a damaged file open that it
    # opened itself, so it is opened here.
    with boundary(DataError, what, remedy):
        check_no_pointer(path, DataError)
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            there = {name: f"{name}.npy" for name in ("x", "y", "classes")}
            return {
                name: _array(archive, entry, path)
                for name, entry in there.items()
                if entry in archive.namelist()
            }


def _array(archive: zipfile.ZipFile, entry: str, path: Path) -> NDArray[np.generic]:
    """Read an array of an archive that has as many bytes as its own header says."""
    with archive.open(entry) as file:
        version = npy.read_magic(file)
        shape, _, kind = _HEADERS[version](file)
        size, start = math.prod(shape) * kind.itemsize, file.tell()
    held = archive.getinfo(entry).file_size - start
    if kind.hasobject or size != held:
        raise ValueError(
            "it holds Python objects" if kind.hasobject else f"{entry} says {size:,} bytes, has {held:,}"
        )
    check_memory(size, f"{path}: {entry}: the values")
    with archive.open(entry) as file:
        return np.asarray(npy.read_array(file, allow_pickle=False))


def _images(x: NDArray[np.generic], path: Path) -> NDArray[np.uint8]:
    if x.dtype != np.uint8:
        raise DataError(f"{path}: x is {x.dtype} and must be uint8, values 0 to 255")
    images = x.astype(np.uint8, copy=False)
    if images.ndim == 3:
        images = images[:, :, :, np.newaxis]
    if images.ndim != 4 or images.shape[3] not in (1, 3) or 0 in images.shape[1:]:
        raise DataError(f"{path}: x has shape {x.shape} and must be N×H×W, N×H×W×1 or N×H×W×3")
    return images


def _labels(y: NDArray[np.generic], path: Path) -> NDArray[np.int64]:
    if y.ndim != 1 or not np.issubdtype(y.dtype, np.integer):
        raise DataError(f"{path}: y is {y.dtype} of shape {y.shape} and must be N integers")
    if y.size and int(y.max()) > np.iinfo(np.int64).max:
        raise DataError(f"{path}: y holds label {y.max()}; labels count from 0")
    labels = y.astype(np.int64)
    if labels.size and labels.min() < 0:
        raise DataError(f"{path}: y holds label {labels.min()}; labels count from 0")
    return labels


def _numbers(labels: NDArray[np.int64], path: Path) -> list[str]:
    if (largest := int(labels.max())) >= _MOST_CLASSES:
        raise DataError(
            f"{path}: y holds label {largest}, more than any classifier has classes; mend it, or leave that image out"
        )
    return [str(number) for number in range(largest + 1)]


def _names(classes: NDArray[np.generic], path: Path) -> list[str]:
    if classes.ndim != 1 or classes.dtype.kind not in "USiu" or len(classes) > _MOST_CLASSES:
        raise DataError(
            f"{path}: classes is {classes.dtype} of shape {classes.shape} and must be a list of at most "
            f"{_MOST_CLASSES:,} names"
        )
    with boundary(DataError, f"{path}: classes holds names that are not UTF-8", "save them as text"):
        return [name.decode() if isinstance(name, bytes) else str(name) for name in classes.tolist()]
