"""Housekeeping of a store's published versions: list, choose, sign and remove them."""

import re
from dataclasses import dataclass
from pathlib import Path

from mutant_guard.errors import StoreError
from mutant_guard.store.atomic import SECRET, half_removed, half_written, remove, write_atomically
from mutant_guard.store.manifest import Manifest
from mutant_guard.store.reader import CURRENT, MANIFEST, Store, current_version, load_store
from mutant_guard.store.signature import SIGNATURE, PrivateKey
from mutant_store.publishing.publish import CALIBRATING, STAGING, changing, make_current

_VERSION = re.compile(r"[0-9a-f]{16}")
_SHORTEST_PREFIX = 4


@dataclass(frozen=True)
class Version:
    """Published version.

    Attributes:
        name: name of the version.
        published: time of publication, in seconds since the epoch.
        size: number of bytes of its files.
        current: whether it is the version that is served.
        signed: whether it has a signature; only the public key tells whose it is.
        manifest: manifest of the version; None where the version cannot be used.
        problem: reason why the version cannot be used; None where it can.
    """

    name: str
    published: float
    size: int
    current: bool
    signed: bool
    manifest: Manifest | None
    problem: str | None = None


@dataclass(frozen=True)
class Garbage:
    """File or directory that a store does not need.

    Attributes:
        path: path of the file or directory.
        size: number of its bytes.
    """

    path: Path
    size: int


def list_versions(path: Path) -> list[Version]:
    """Return every published version of a store, each checked completely, the newest last.

    Raises:
        StoreError: there is no store.
    """
    names = _names(path)
    current = _current(path)
    found = [_version(path / name, current=name == current) for name in names]
    return sorted(found, key=lambda version: (version.published, version.name))


def find_version(path: Path, text: str) -> str:
    """Return the name of the version of a store that begins with ``text``.

    Raises:
        StoreError: there is no store, no version or more than one begins so, or the text is too
            short to tell.
    """
    names = _names(path)
    if text in names:
        return text
    found = [name for name in names if name.startswith(text)]
    if len(text) < _SHORTEST_PREFIX:
        raise StoreError(f"version '{text}': give at least {_SHORTEST_PREFIX} characters of its name")
    if not found:
        raise StoreError(f"{path} has no version '{text}'; it has {', '.join(names) or 'none at all'}")
    if len(found) > 1:
        raise StoreError(f"version '{text}' could be any of {', '.join(found)}; give more of its name")
    return found[0]


def use_version(path: Path, text: str) -> Store:
    """Check a version completely, load its mutants, and make it the current one.

    Args:
        path: directory of the store.
        text: name of the version, or the start of it.

    Raises:
        StoreError: there is no such version, it is damaged, its mutants do not load, or another
            command is changing the store.
    """
    with changing(path):
        store = load_store(path, find_version(path, text))
        store.session(threads=1).close()
        make_current(path, store.version)
    return store


def sign_version(path: Path, key: PrivateKey, text: str | None = None) -> Store:
    """Check a version completely and write its signature; an older one is replaced.

    Args:
        path: directory of the store.
        key: private key to sign with.
        text: name of the version, or the start of it; by default the current one.

    Raises:
        StoreError: there is no such version, it is damaged, or another command is changing the
            store.
    """
    with changing(path):
        store = load_store(path, find_version(path, text) if text else None)
        write_atomically(store.path / SIGNATURE, key.sign(store.manifest_text), mode=SECRET)
    return store


def collect_garbage(
    path: Path, *, keep: int = 1, unfinished: bool = False, dry_run: bool = False
) -> list[Garbage]:
    """Remove versions that are no longer needed, and leftovers of killed commands.

    The current version stays, and so do the ``keep`` others that were published last, of those that
    this release can use. Nothing else in the store's directory is touched.

    Args:
        path: directory of the store.
        keep: number of versions to keep beside the current one.
        unfinished: whether a build that was not finished goes as well.
        dry_run: whether to remove nothing and only return what would go.

    Returns:
        Files and directories that were, or would be, removed.

    Raises:
        StoreError: there is no store, another command is changing it, or ``CURRENT`` names no
            version.
    """
    with changing(path):
        versions = list_versions(path)
        if versions and not any(version.current for version in versions):
            raise StoreError(
                f"{path / CURRENT} names no version that is there, so none can be told to be superfluous; "
                f"choose one with mutant-store use {path} VERSION"
            )
        others = [version for version in versions if not version.current]
        usable = [version for version in others if version.problem is None]
        superfluous = [version for version in others if version not in usable[max(len(usable) - keep, 0) :]]
        found = [path / version.name for version in superfluous]
        found += half_removed(path) + half_written(path / CURRENT)
        for version in versions:
            if version not in superfluous:
                found += half_written(path / version.name / SIGNATURE)
        found += [path / CALIBRATING] if (path / CALIBRATING).is_dir() else []
        if unfinished and (path / STAGING).is_dir():
            found.append(path / STAGING)
        garbage = [Garbage(entry, _size(entry)) for entry in found]
        if not dry_run:
            for entry in found:
                remove(entry)
    return garbage


def _names(path: Path) -> list[str]:
    if not path.is_dir():
        raise StoreError(f"{path}: no such store; make one with mutant-store build")
    return sorted(entry.name for entry in path.iterdir() if _VERSION.fullmatch(entry.name) and entry.is_dir())


def _current(path: Path) -> str | None:
    try:
        return current_version(path)
    except StoreError:  # every version can still be listed and chosen
        return None


def _version(directory: Path, *, current: bool) -> Version:
    manifest, problem = None, None
    try:
        manifest = load_store(directory.parent, directory.name).manifest
    except StoreError as error:
        problem = str(error)
    written = directory / MANIFEST if (directory / MANIFEST).is_file() else directory
    signed = (directory / SIGNATURE).is_file()
    published = written.stat().st_mtime
    return Version(directory.name, published, _size(directory), current, signed, manifest, problem)


def _size(path: Path) -> int:
    linked = path.is_symlink() or not path.is_dir()
    return sum(file.lstat().st_size for file in ([path] if linked else path.rglob("*")) if not file.is_dir())
