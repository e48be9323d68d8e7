"""Stores whose service times are measured."""

from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.scale.calibration import Served
from benchmarks.subjects import ServedStore
from evaluation.imagenet.photographs import Photographs
from evaluation.imagenet.stores import build
from mutant_guard.store.reader import CURRENT

STORES = (Path("stores/mnist-lenet"), Path("stores/cifar10-resnet20"))
_ORIGINAL, _COMPANION = "lite0", "lite1"
_CALIBRATING = 500
_IMAGES = 200
"""Photographs that are posted; the small images are all posted."""


def small(path: Path, data: Path) -> Served:
    """Return a store of small images, with images that it has not seen.

    Raises:
        StoreError: there is no such store.
        DataError: there are no images for it.
    """
    subject = ServedStore.of(path, data)
    return Served(path, subject.store.name, subject.bodies, "image/png")


def efficientnet(data: Path, work: Path, say: Callable[[str], None]) -> Served:
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
    store = work / "scale" / f"{_ORIGINAL}-by-{_COMPANION}"
    if not (store / CURRENT).exists():
        say(f"building {store}")
        store.parent.mkdir(parents=True, exist_ok=True)
        build(_ORIGINAL, (_COMPANION,), photographs, folder / "models", store)
    tested: Sequence[int] = photographs.tested[:_IMAGES].tolist()
    bodies = [photographs.files[number].read_bytes() for number in tested]
    return Served(store, store.name, bodies, "image/jpeg")
