"""Readers of data, one a kind.

Each takes a SPEC without its slice and returns that split in the fixed order.
"""

from collections.abc import Callable

from mutant_guard.store.choices import Resize
from mutant_store.datasets.conversion import Shape
from mutant_store.datasets.image_data import ImageData
from mutant_store.datasets.sources import digits, imagefolder, mnist, npz
from mutant_store.datasets.spec import DataSpec

Reader = Callable[[DataSpec, Shape | None, Resize], ImageData]

READERS: dict[str, Reader] = {
    "digits": digits.read,
    "mnist": mnist.read,
    "imagefolder": imagefolder.read,
    "npz": npz.read,
}
