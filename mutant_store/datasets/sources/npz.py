"""NumPy archive of images.

It holds ``x`` uint8 [N, H, W] or [N, H, W, C], ``y`` integers [N], and ``classes`` names if given.
"""

import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mutant_guard.errors import DataError
from mutant_guard.store.choices import Resize
from mutant_store.datasets.conversion import Shape
from mutant_store.datasets.image_data import ImageData
from mutant_store.datasets.source import Source
from mutant_store.datasets.sources.location import existing
from mutant_store.datasets.spec import DataSpec


def read(spec: DataSpec, shape: Shape | None, resize: Resize) -> ImageData:
    """Load all images, or the first tenth of the fixed order as holdout and the rest as train.

    ``shape`` and ``resize`` are not used: the caller fits the images.

    Raises:
        DataError: the file is missing or damaged, an array is missing or has another shape or type,
            or the split is ``test``.
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
    names = [str(name) for name in arrays.get("classes", np.arange(labels.max() + 1)).ravel()]
    if labels.max() >= len(names):
        raise DataError(f"{spec.path}: y holds label {labels.max()} and classes only {len(names)} names")
    source = Source.of(images, labels, names)
    return source.cut_split(spec, holdout=len(source) // 10)


def _load(path: Path) -> dict[str, NDArray[np.generic]]:
    try:
        # Pickled arrays could run code, so they are refused. NumPy leaves a damaged file open that
        # it opened itself, so it is opened here.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in ("x", "y", "classes") if name in archive}
    except (
        OSError,
        EOFError,
        ValueError,
        TypeError,
        AttributeError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise DataError(
            f"{path} is no readable .npz of plain arrays ({error}); save it with np.savez"
        ) from error


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
    labels = y.astype(np.int64)
    if labels.size and labels.min() < 0:
        raise DataError(f"{path}: y holds label {labels.min()}; labels count from 0")
    return labels
