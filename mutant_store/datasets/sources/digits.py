"""Handwritten digits of scikit-learn: 1,797 scans of 8×8 pixels, installed with the library."""

import numpy as np

from mutant_guard.errors import DataError
from mutant_guard.store.choices import Resize
from mutant_store.datasets.conversion import Shape
from mutant_store.datasets.image_data import ImageData
from mutant_store.datasets.source import Source
from mutant_store.datasets.spec import DataSpec

# Positions in the fixed order: test first, so that it stays what it is if the rest is ever cut
# anew.
_SPLITS = {"test": (0, 297), "holdout": (297, 897), "train": (897, 1797)}


def read(spec: DataSpec, shape: Shape | None, resize: Resize) -> ImageData:
    """Load the split that a SPEC names, [N, 8, 8, 1], with grey values 0 to 16 scaled to 0 to 255.

    ``shape`` and ``resize`` are not used: the caller fits the images.

    Raises:
        DataError: no split is given, or scikit-learn is not installed.
    """
    if spec.split is None:
        raise DataError("digits need a split: digits@train, digits@holdout or digits@test")
    try:
        # Import scikit-learn here: only this kind needs it, and it takes a second.
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DataError("digits come with scikit-learn; pip install 'mutant-guard[build]'") from error
    scans = load_digits()
    images = np.rint(scans.images * 255 / 16).astype(np.uint8)[:, :, :, np.newaxis]
    source = Source.of(images, scans.target.astype(np.int64), [str(name) for name in scans.target_names])
    return source.cut(spec, *_SPLITS[spec.split])
