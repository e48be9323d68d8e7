"""Labelled images as the classifier of a store reads them, checked against its making."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mutant_guard.errors import DataError
from mutant_guard.store.reader import Store
from mutant_store.datasets import ImageData, load
from mutant_store.loading.data_labels import match_classes
from mutant_store.loading.pixel_views import PixelViews


@dataclass(frozen=True, eq=False)
class CleanImages:
    """Images that neither trained the classifier nor filtered its mutants.

    Attributes:
        data: the images, with their range in the source.
        inputs: the images, of which an index gives what the networks of the bank read.
        labels: int64 [images], true labels in the classifier's own order of classes.
    """

    data: ImageData
    inputs: PixelViews
    labels: NDArray[np.int64]


def load_images(store: Store, spec: str) -> CleanImages:
    """Read labelled images for a store.

    Args:
        store: the store whose classifier reads the images.
        spec: SPEC of the images.

    Raises:
        DataError: the data is not what the SPEC says, has other classes, or holds images that
            trained the classifier or filtered its mutants.
    """
    manifest = store.manifest
    size = manifest.input
    data = load(spec, shape=(size.height, size.width, size.channels), resize=size.resize)
    if manifest.data.train is not None and manifest.data.train.overlaps(data.range):
        raise DataError(
            f"'{spec}' holds images that trained this classifier ('{manifest.data.train.spec}'): it knows them "
            "by heart; use images it never saw"
        )
    if manifest.data.filter.overlaps(data.range):
        raise DataError(
            f"'{spec}' holds images that filtered the mutants ('{manifest.data.filter.spec}'): these change "
            f"fewer labels than others do; use others, such as '{manifest.data.choice.spec}'"
        )
    _, labels = match_classes(data, manifest.classes, len(manifest.classes))
    inputs = PixelViews((data.images,), (size,))
    for view in manifest.views:
        pixels = load(spec, shape=(view.height, view.width, view.channels), resize=view.resize).images
        if len(pixels) != len(data):
            raise DataError(f"'{spec}' holds images that a companion cannot read: mend or remove them")
        inputs = inputs.with_view(pixels, view)
    return CleanImages(data, inputs, labels)
