"""Store and images that servers are measured with; the store has not seen the images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluation.imagenet.photographs import Photographs
from evaluation.imagenet.stores import build
from evaluation.png import encode_png
from evaluation.server import ORDER_KEY
from mutant_guard.bank.views import Inputs
from mutant_guard.errors import DataError
from mutant_guard.images.decoding import at_sizes, decode_whole
from mutant_guard.runtime.order import Order
from mutant_guard.store.reader import CURRENT, Store, load_store
from mutant_store.datasets import load

POLICY = "calibrated"

_ROOT = Path(__file__).parents[1]
_IMAGES = {
    (8, 8, 1): "digits@test",
    (28, 28, 1): "mnist:{}/mnist@test[0:1000]",
    (32, 32, 3): "imagefolder:{}/cifar10@test[3000:4000]",
}
_WEIGHTS = {(8, 8, 1): "digits", (28, 28, 1): "mnist-lenet", (32, 32, 3): "cifar10-resnet20"}
_ORIGINAL, _COMPANION = "lite0", "lite1"
_CALIBRATING, _PHOTOGRAPHS = 500, 200
_MOST_PIXELS = 1 << 24


@dataclass(frozen=True, eq=False)
class ServedStore:
    """Store and images for it.

    Attributes:
        path: directory of the store.
        store: current version of the store.
        images: uint8 [N, H, W, C] as the classifier reads them, none of which the store was made with.
        files: JPEG files of the images; none where the images themselves are posted, as PNG files.
    """

    path: Path
    store: Store
    images: NDArray[np.uint8]
    files: Sequence[bytes] = ()

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

    @classmethod
    def efficientnet(cls, data: Path, work: Path, say: Callable[[str], None]) -> "ServedStore":
        """Return the store of EfficientNet-Lite0 with a companion, which is built where it is not there.

        Args:
            data: folder with ``imagenet-samples``.
            work: folder of the photographs, the exported classifiers and the store.
            say: callback that is told what is going on.

        Raises:
            GuardError: the data or the published weights are missing, or the build failed.
        """
        folder = work / "imagenet"
        photographs = Photographs.unpacked(data / "imagenet-samples", folder, _CALIBRATING, 0)
        path = work / "scale" / f"{_ORIGINAL}-by-{_COMPANION}"
        if not (path / CURRENT).exists():
            say(f"building {path}")
            path.parent.mkdir(parents=True, exist_ok=True)
            build(_ORIGINAL, (_COMPANION,), photographs, folder / "models", path)
        store = load_store(path)
        files = [
            photographs.files[number].read_bytes() for number in photographs.tested[:_PHOTOGRAPHS].tolist()
        ]
        images = [at_sizes(decode_whole(file, _MOST_PIXELS), [store.manifest.input])[0] for file in files]
        return cls(path, store, np.stack(images), files)

    @property
    def key(self) -> str:
        """Start of the names of the subject's figures."""
        return self.store.name.replace("-", "_")

    @property
    def weights(self) -> Path:
        """File of torch weights that the store's original was exported from, if it is there."""
        spec = self.store.manifest.input
        name = _WEIGHTS.get((spec.height, spec.width, spec.channels), _ORIGINAL)
        return _ROOT / "models" / f"{name}.safetensors"

    @property
    def order(self) -> Order:
        """Order in which requests meet the mutants under the key of published figures."""
        manifest = self.store.manifest
        return Order(ORDER_KEY.encode(), pool=manifest.mutants, decks=manifest.decks, ranks=manifest.ranks)

    @cached_property
    def bodies(self) -> list[bytes]:
        """Every image as a file."""
        return list(self.files) or [encode_png(image) for image in self.images]

    @property
    def content_type(self) -> str:
        """Content type of ``bodies``."""
        return "image/jpeg" if self.files else "image/png"

    @cached_property
    def requests(self) -> list[tuple[Inputs, NDArray[np.int64]]]:
        """Every image as the networks of the bank read it, and the order in which it meets the mutants."""
        manifest, order = self.store.manifest, self.order
        found = []
        for body in self.bodies:
            views = at_sizes(decode_whole(body, _MOST_PIXELS), manifest.inputs)
            found.append((manifest.tensors([view[None] for view in views]), order.mutants(*views)))
        return found
