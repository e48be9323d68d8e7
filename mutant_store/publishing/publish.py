"""Publication of files and versions so that a reader sees all of them or none."""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mutant_guard.errors import StoreError
from mutant_guard.store.atomic import SECRET, remove, remove_directory, sync_directory, write_atomically
from mutant_guard.store.manifest import FileEntry, Manifest
from mutant_guard.store.reader import CURRENT, MANIFEST, load_store, version_of
from mutant_guard.store.signature import SIGNATURE, PrivateKey

STAGING = ".building"
"""Name of the directory, inside a store, in which a version is built."""

CALIBRATING = ".calibrating"
"""Name of the directory, inside a store, for a version that differs in its calibration alone."""

_LOCK = ".lock"
_LOCKING = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
"""Flags that open the lock itself: no file that a link leads to, and no pipe that nobody reads."""


def file_entry(content: bytes) -> FileEntry:
    """Return the manifest's entry for a file of this content."""
    return FileEntry(sha256=hashlib.sha256(content).hexdigest(), size=len(content))


def write_version(staged: Path, contents: dict[str, bytes], manifest: Manifest) -> bytes:
    """Write files and then their manifest into a staged version, and remove what else is there.

    All files are readable by their owner alone: the mutants are a secret.

    Args:
        staged: directory of the version.
        contents: content by file name.
        manifest: manifest of the version. Files that it names and ``contents`` does not have must
            be there already.

    Returns:
        Content of the manifest's file.
    """
    for name, content in contents.items():
        write_atomically(staged / name, content, mode=SECRET)
    text = manifest.model_dump_json(indent=1).encode()
    write_atomically(staged / MANIFEST, text, mode=SECRET)
    known = {*manifest.files, MANIFEST}
    for entry in staged.iterdir():
        if entry.name not in known:
            remove(entry)
    return text


def publish(store: Path, staged: Path, manifest: bytes, key: PrivateKey | None = None) -> str:
    """Rename a staged version, complete with its manifest, into place and make it the current one.

    Args:
        store: directory of the store.
        staged: directory inside the store's directory in which every file is written.
        manifest: content of the manifest, as it was written; the file may have changed since.
        key: private key that signs the version before it becomes the current one.

    Returns:
        Name of the version.
    """
    version = version_of(manifest)
    target = store / version
    if target.exists() and not _is_whole(store, version):
        remove_directory(target)  # otherwise building again, the remedy for damage, would change nothing
    published = target.exists()  # the same content was published before
    if key is not None:
        write_atomically((target if published else staged) / SIGNATURE, key.sign(manifest), mode=SECRET)
    if published:
        shutil.rmtree(staged)
    else:
        sync_directory(staged)
        staged.rename(target)
        sync_directory(store)
    make_current(store, version)
    return version


def make_current(store: Path, version: str) -> None:
    """Make a published version the one that is served from now on."""
    write_atomically(store / CURRENT, f"{version}\n".encode("ascii"), mode=SECRET)


def _is_whole(store: Path, version: str) -> bool:
    try:
        load_store(store, version)
    except StoreError:
        return False
    return True


@contextmanager
def building(store: Path) -> Iterator[None]:
    """Hold the store's build lock; it goes with the process, however that ends.

    Raises:
        StoreError: another build of the same store is running, or the directory cannot be made.
    """
    with _locked(
        store,
        unwritable="choose another --out",
        busy=f"another build of {store} is running; wait for it, or choose another --out",
    ):
        yield


@contextmanager
def changing(store: Path) -> Iterator[None]:
    """Hold the build lock of a store that is there.

    Raises:
        StoreError: there is no store, a build of it is running, or it cannot be written to.
    """
    if not store.is_dir():
        raise StoreError(f"{store}: no such store; make one with mutant-store build")
    with _locked(
        store,
        unwritable="run this as the user that builds it",
        busy=f"a build of {store} is running, or another command that changes it; wait for it",
    ):
        yield


@contextmanager
def _locked(store: Path, *, unwritable: str, busy: str) -> Iterator[None]:
    try:
        store.mkdir(parents=True, exist_ok=True)
        file = os.fdopen(os.open(store / _LOCK, _LOCKING, SECRET), "w")
    except OSError as error:
        raise StoreError(f"cannot write to {store} ({error.strerror}); {unwritable}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoreError(busy) from error
        yield
