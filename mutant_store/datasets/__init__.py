"""Labelled images by SPEC.

A SPEC gives the same images in the same order wherever the data lies and however it is packed.
"""

from dataclasses import replace

from mutant_guard.errors import DataError
from mutant_guard.store.choices import Resize
from mutant_store.boundary import boundary
from mutant_store.datasets.conversion import Shape, fit_array
from mutant_store.datasets.image_data import ImageData
from mutant_store.datasets.sources import READERS
from mutant_store.datasets.spec import DataSpec, parse

__all__ = ["DataSpec", "ImageData", "load", "parse"]


def load(spec: str | DataSpec, *, shape: Shape | None = None, resize: Resize = "exact") -> ImageData:
    """Load the images that a SPEC names, as the model takes them.

    They have the fixed order of their source.

    Args:
        spec: ``kind[:path][@split][[start:stop]]``, parsed or not.
        shape: (height, width, channels) of the model, sizes in pixels; None keeps the natural size,
            which all images must then share.
        resize: text of the rule by which images get this size; see ``ResizeRule``. Those of ``npz:``
            and of MNIST that have it are taken as they are.

    Returns:
        Images uint8 [N, H, W, C], labels int64 [N], class names, the range of the source that they
            are, and notes on what was left out.

    Raises:
        DataError: the SPEC, the data behind it, or its size is not what it has to be; the message
            says which.
    """
    wanted = parse(spec) if isinstance(spec, str) else spec
    with boundary(DataError, f"{wanted} cannot be read", "save or download the data again"):
        data = READERS[wanted.kind](replace(wanted, start=None, stop=None), shape, resize)
    if wanted.start is not None or wanted.stop is not None:
        data = data.part(wanted.start, wanted.stop)
    fitted = fit_array(data.images, shape, resize)
    return replace(data, images=fitted, range=data.range.model_copy(update={"spec": str(wanted)}))
