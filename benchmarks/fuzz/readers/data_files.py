"""Data sets and lists of class names: archives, folders and texts."""

import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image

from benchmarks.fuzz.mutations.scramble import scramble
from benchmarks.fuzz.readers.base import Target
from mutant_guard.errors import DataError
from mutant_store.cli.build import class_names
from mutant_store.datasets import load

_SIZE = 4
_IMAGES = np.random.default_rng(0).integers(0, 256, (24, _SIZE, _SIZE, 3), dtype=np.uint8)
_ARRAYS: tuple[Callable[[NDArray[Any], Random], object], ...] = (
    lambda array, random: array.astype(random.choice("?bBhHiIlLqQefdFDSUMm")),
    lambda array, random: array[: random.randrange(len(array))],
    lambda array, random: array[..., None],
    lambda array, random: array.ravel()[0],
    lambda array, random: np.array([random.choice((10**12, -1, 2**63 - 1, 5)), *range(len(array) - 1)]),
    lambda array, random: np.array([b"\xff", b"a"]),
    lambda array, random: np.array(["a", "a", ""]),
    lambda array, random: np.array([None, {}], dtype=object),
    lambda array, random: np.asfortranarray(array),
)
_HEADERS = (b"(24,", b"(10000000000000,", b"(-1,", b"(True,", b"((24,),", b"'|O'", b"\xff", b"(" * 200)
_FOLDERS = (
    "a", "b", "train", "val", "test", "..", ".", "", "/", ".git", "é", "caf\udce9", "a\nb", "x" * 300, "con", "10", "9"
)  # fmt: skip
_TEXTS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1")

Files = list[tuple[str, bytes]]


class NpzFiles(Target):
    """NumPy archives of images."""

    name = "npz"

    def seeds(self) -> list[bytes]:
        """Return an archive with names of classes and one without."""
        arrays: dict[str, NDArray[Any]] = {"x": _IMAGES, "y": np.arange(len(_IMAGES)) % 3}
        return [_archive(arrays), _archive({**arrays, "classes": np.array(["a", "b", "c"])})]

    def mutated(self, content: bytes, random: Random) -> bytes:
        """Change an array, the header of one, or any bytes."""
        try:
            with np.load(io.BytesIO(content)) as archive:
                arrays = dict(archive)
            name = random.choice([*arrays])
            match random.randrange(4):
                case 0:
                    return scramble(content, random)
                case 1:
                    return _packed(name, scramble(_npy(arrays[name]), random), arrays)
                case 2:
                    header = _npy(arrays[name])
                    for part in (b"(24,", b"'|u1'", b"'<i8'"):
                        if part in header and random.random() < 0.7:
                            header = header.replace(part, random.choice(_HEADERS))
                    return _packed(name, header, arrays)
                case _:
                    arrays[name] = np.asanyarray(random.choice(_ARRAYS)(arrays[name], random))
                    return _archive(arrays)
        except Exception:  # a file that was changed before, or an array that cannot be changed so
            return scramble(content, random)

    def read(self, content: bytes, folder: Path) -> None:
        """Load the images."""
        (folder / "set.npz").write_bytes(content)
        _check(f"npz:{folder}/set.npz")


class Folders(Target):
    """Image files in folders and in tar archives."""

    name = "folders"

    def seeds(self) -> list[bytes]:
        """Return a tree of classes, and one with split folders."""
        files = [(f"{'ab'[number % 2]}/{number}.png", _png(_IMAGES[number])) for number in range(24)]
        return [
            _tar(files),
            _tar([(f"{split}/{name}", data) for split in ("train", "test") for name, data in files]),
        ]

    def mutated(self, content: bytes, random: Random) -> bytes:
        """Change names, images or any bytes."""
        try:
            files = _untarred(content)
            at = random.randrange(len(files))
            name, data = files[at]
            match random.randrange(5):
                case 0:
                    return scramble(content, random)
                case 1:
                    files[at] = name, scramble(data, random)
                case 2:
                    parts = [random.choice(_FOLDERS) for _ in range(random.randint(0, 3))]
                    files[at] = (
                        "/".join([*parts, f"1.{random.choice(('png', 'jpg', 'PNG', 'txt', ''))}"]),
                        data,
                    )
                case 3:
                    files.append((random.choice(files)[0], data))
                case _:
                    image = Image.fromarray(_IMAGES[at]).resize((random.choice((1, 4, 9)), 4))
                    files[at] = (
                        name,
                        _png(np.asarray(image.convert(random.choice(("L", "RGB", "1", "CMYK", "RGBA"))))),
                    )
            return _tar(files)
        except Exception:  # a file that was changed before
            return scramble(content, random)

    def read(self, content: bytes, folder: Path) -> None:
        """Load the images from the archive, and from a folder where it can be unpacked."""
        path = folder / "set.tar"
        path.write_bytes(content)
        (folder / "set").mkdir()
        try:
            with tarfile.open(path) as archive:
                archive.extractall(folder / "set", filter="data")
        except Exception:  # names that cannot be files
            _check(f"imagefolder:{path}")
            return
        refused, tried = [], 0
        for split in ("", "@train", "@holdout"):
            for place in (folder / "set", path):
                tried += 1
                try:
                    _check(f"imagefolder:{place}{split}")
                except DataError as error:
                    refused.append(error)
        if len(refused) == tried:
            raise refused[-1]


class NameLists(Target):
    """Files of class names."""

    name = "names"

    def seeds(self) -> list[bytes]:
        """Return a list in every encoding, and mappings."""
        lists = ["a\nb\nc é\n".encode(encoding) for encoding in _TEXTS]
        return [*lists, b'{"0": ["n01440764", "tench"], "1": "a"}', b"{0: 'a', 1: 'b'}", b'["a", "b"]']

    def mutated(self, content: bytes, random: Random) -> bytes:
        """Change any bytes."""
        return scramble(content, random)

    def read(self, content: bytes, folder: Path) -> None:
        """Read the names as the option --classes does."""
        (folder / "names.txt").write_bytes(content)
        try:
            names = class_names(f"@{folder}/names.txt")
        except typer.BadParameter as error:
            raise DataError(error.message) from error
        "\n".join(names or ()).encode()


def _check(spec: str) -> None:
    data = load(spec)
    whole = len(data.images) == len(data.labels) == len(data)
    if not whole or not 0 <= data.labels.min() <= data.labels.max() < len(data.class_names):
        raise AssertionError("labels are no positions of names")
    "\n".join(data.class_names).encode()


def _npy(array: NDArray[Any]) -> bytes:
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def _archive(arrays: dict[str, NDArray[Any]]) -> bytes:
    content = io.BytesIO()
    np.savez(content, **arrays)  # type: ignore[arg-type]
    return content.getvalue()


def _packed(name: str, npy: bytes, arrays: dict[str, NDArray[Any]]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for other, array in arrays.items():
            archive.writestr(f"{other}.npy", npy if other == name else _npy(array))
    return content.getvalue()


def _png(pixels: NDArray[np.uint8]) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def _tar(files: Files) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for name, data in files:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return content.getvalue()


def _untarred(content: bytes) -> Files:
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return [(entry.name, archive.extractfile(entry).read()) for entry in archive]  # type: ignore[union-attr]
