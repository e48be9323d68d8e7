"""Putting files and versions in place so that a reader sees all of them or none."""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mutant_store.atomic import sync_directory, write_atomically
from mutant_store.errors import StoreError
from mutant_store.reader import CURRENT, MANIFEST, version_of

_LOCK = ".lock"


def publish(store: Path, staged: Path) -> str:
    """Rename a staged version, complete with its manifest, into place and make it the current one.

    Args:
        store: the store's directory.
        staged: a directory inside it on which every file is written.

    Returns:
        Name of the version.
    """
    version = version_of((staged / MANIFEST).read_bytes())
    sync_directory(staged)
    target = store / version
    if target.exists():  # the same content was published before
        shutil.rmtree(staged)
    else:
        staged.rename(target)
        sync_directory(store)
    write_atomically(store / CURRENT, f"{version}\n".encode("ascii"))
    return version


@contextmanager
def building(store: Path) -> Iterator[None]:
    """Hold the store's build lock; it goes with the process, however that ends.

    Raises:
        StoreError: another build of the same store is running, or the directory cannot be made.
    """
    try:
        store.mkdir(parents=True, exist_ok=True)
        file = (store / _LOCK).open("w")
    except OSError as error:
        raise StoreError(f"cannot write to {store} ({error.strerror}); choose another --out") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoreError(
                f"another build of {store} is running; wait for it, or choose another --out"
            ) from error
        yield
