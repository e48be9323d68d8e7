"""Store and images that servers are measured with; the store has not seen the images."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluation.png import encode_png
from evaluation.server import ORDER_KEY
from mutant_guard.errors import DataError
from mutant_guard.runtime.order import Order
from mutant_guard.store.reader import Store, load_store
from mutant_store.datasets import load

POLICY = "calibrated"

_ROOT = Path(__file__).parents[1]
_IMAGES = {
    (8, 8, 1): "digits@test",
    (28, 28, 1): "mnist:{}/mnist@test[0:1000]",
    (32, 32, 3): "imagefolder:{}/cifar10@test[3000:4000]",
}
_WEIGHTS = {(8, 8, 1): "digits", (28, 28, 1): "mnist-lenet", (32, 32, 3): "cifar10-resnet20"}


@dataclass(frozen=True, eq=False)
class ServedStore:
    """Store and images for it.

    Attributes:
        path: directory of the store.
        store: current version of the store.
        images: uint8 [N, H, W, C], none of which the store was made with.
    """

    path: Path
    store: Store
    images: NDArray[np.uint8]

    @classmethod
    def of(cls, path: Path, data: Path) -> "ServedStore":
        """Load a store, and images for it from the folder that holds ``mnist`` and ``cifar10``.

        Raises:
            StoreError: there is no such store.
            DataError: the images are not there, or the store is of none of these data sets.
        """
        store = load_store(path)
        spec = store.manifest.input
        shape = (spec.height, spec.width, spec.channels)
        if shape not in _IMAGES:
            raise DataError(f"{path} takes images of {shape}; benchmarks have {', '.join(map(str, _IMAGES))}")
        return cls(path, store, load(_IMAGES[shape].format(data), shape=shape).images)

    @property
    def key(self) -> str:
        """Start of the names of the subject's figures."""
        return self.store.name.replace("-", "_")

    @property
    def weights(self) -> Path:
        """File of torch weights that the store's original was exported from."""
        spec = self.store.manifest.input
        return _ROOT / "models" / f"{_WEIGHTS[spec.height, spec.width, spec.channels]}.safetensors"

    @property
    def order(self) -> Order:
        """Order in which requests meet the mutants under the key of published figures."""
        manifest = self.store.manifest
        return Order(ORDER_KEY.encode(), pool=manifest.mutants, decks=manifest.decks)

    @cached_property
    def bodies(self) -> list[bytes]:
        """Every image as a PNG file."""
        return [encode_png(image) for image in self.images]
