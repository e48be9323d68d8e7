"""Writing of files that are either the old ones or whole.

This module imports nothing but the standard library.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_REMOVING = ".removing."


SECRET = 0o600
"""Mode of the files of a store: with its mutants one can make images that pass them."""


def write_atomically(path: Path, content: bytes | memoryview, *, mode: int = 0o644) -> None:
    """Replace ``path`` by ``content``, which is made durable first; create its folder if necessary.

    Raises:
        OSError: the folder or the file cannot be written.
    """
    with _named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        beside = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fchmod(descriptor, mode)  # mkstemp makes files private; most results are for others too
                os.fsync(file.fileno())
            beside.replace(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
        sync_directory(path.parent)


def create(path: Path, content: bytes, *, mode: int) -> None:
    """Write a file that is not there yet, and make it durable; create its folder if necessary.

    Raises:
        FileExistsError: the file is there already.
        OSError: the folder or the file cannot be written.
    """
    with _named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        sync_directory(path.parent)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Give an error that names no file, as of a full disk, the name of the one to be written."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


def remove_directory(path: Path) -> None:
    """Remove a directory so that it is never seen half removed: it gets a hidden name first.

    Raises:
        OSError: the directory cannot be renamed or removed.
    """
    hidden = path.with_name(path.name if path.name.startswith(_REMOVING) else f"{_REMOVING}{path.name}")
    if hidden != path:
        if hidden.exists():  # an earlier removal was killed
            shutil.rmtree(hidden)
        path.rename(hidden)
        sync_directory(path.parent)
    shutil.rmtree(hidden)


def remove(path: Path) -> None:
    """Remove a file, a link or a directory; what a link leads to stays.

    Raises:
        OSError: it cannot be removed.
    """
    remove_directory(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def half_removed(folder: Path) -> list[Path]:
    """Return the directories that a killed ``remove_directory`` left in a folder."""
    return sorted(path for path in folder.glob(f"{_REMOVING}*") if path.is_dir())


def half_written(path: Path) -> list[Path]:
    """Return the files that a killed ``write_atomically`` of this path left beside it."""
    form = re.compile(rf"\.{re.escape(path.name)}\.[a-z0-9_]{{8}}")  # names that mkstemp makes of its prefix
    return sorted(beside for beside in path.parent.iterdir() if form.fullmatch(beside.name))


def sync_directory(path: Path) -> None:
    """Make renames in a directory durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
