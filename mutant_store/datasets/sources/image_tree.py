"""Image files of a folder or of a tar archive, one after another.

Nothing is unpacked to disk.
"""

import os
import tarfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import IO, Self

from mutant_guard.errors import DataError

_SUFFIXES = {".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp"}
_DAMAGED = (tarfile.TarError, OSError, EOFError, LZMAError, zlib.error)

ImageFile = tuple[tuple[str, ...], Callable[[], bytes]]
"""Parts of a file's path inside the tree, and a function that reads its content.

The content can be read while the file is the current one.
"""


class _StrictMember(tarfile.TarInfo):
    """Member of an archive whose header must be whole.

    tarfile takes a damaged header for the end of the archive.
    """

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(archive)
        except tarfile.HeaderError as error:
            if type(error).__name__ == "EOFHeaderError":
                raise
            raise tarfile.ReadError(str(error)) from error


def walk(path: Path, others: Counter[str] | None = None) -> Iterator[ImageFile]:
    """Yield the image files under a folder, or in a tar archive in one pass.

    Files that are hidden are passed over, and those without the suffix of a PNG, JPEG, WEBP or BMP
    file.

    Args:
        path: the folder or the archive.
        others: receiver of the number of files passed over that are not hidden, by suffix.

    Raises:
        DataError: the archive is damaged, or holds a link where an image should be.
    """
    others = Counter() if others is None else others
    return _walk_folder(path, others) if path.is_dir() else _walk_archive(path, others)


def _walk_folder(folder: Path, others: Counter[str]) -> Iterator[ImageFile]:
    for parent, folders, files in os.walk(folder, followlinks=True):
        folders.sort()
        for name in sorted(files):
            file = Path(parent, name)
            parts = file.relative_to(folder).parts
            if _is_image(parts, others):
                yield parts, partial(_content, file)


def _content(file: Path) -> bytes:
    if file.exists() and not file.is_file():
        raise OSError("it is no regular file")  # to open a pipe would wait for its other end
    return file.read_bytes()


def _walk_archive(path: Path, others: Counter[str]) -> Iterator[ImageFile]:
    last = "its start"
    try:
        # Mode 'r|*' reads forward only: nothing is extracted, so a member's path is only ever a
        # name.
        with tarfile.open(path, "r|*", tarinfo=_StrictMember) as archive:
            for member in archive:
                last = member.name
                parts = PurePosixPath(member.name).parts
                if member.isdir() or not _is_image(parts, others):
                    continue
                if member.issym() or member.islnk():
                    raise DataError(
                        f"{path}: {member.name} is a link; archive the files themselves (tar --dereference "
                        "--hard-dereference)"
                    )
                stream = archive.extractfile(member)
                if stream is not None:
                    yield parts, partial(_read, stream, path, last)
    except _DAMAGED as error:
        raise _damaged(path, last, error) from error


def _read(stream: IO[bytes], path: Path, name: str) -> bytes:
    # Reading happens in the code that a member is yielded to, and so outside the try of the loop.
    try:
        return stream.read()
    except _DAMAGED as error:
        raise _damaged(path, name, error) from error


def _damaged(path: Path, name: str, error: Exception) -> DataError:
    return DataError(f"{path} is damaged or no tar archive, at {name} ({error}); download it again")


def _is_image(parts: tuple[str, ...], others: Counter[str]) -> bool:
    if not parts or any(part.startswith(".") or part == "__MACOSX" for part in parts):
        return False
    suffix = PurePosixPath(parts[-1]).suffix.lower()
    if suffix not in _SUFFIXES:
        others[suffix] += 1
    return suffix in _SUFFIXES
