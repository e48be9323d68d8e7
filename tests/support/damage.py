"""Damaged stores: versions that contradict themselves though every hash is right, and files that change while read."""

import hashlib
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mutant_guard.store.reader import CALIBRATION, CURRENT, MANIFEST, version_of

Json = dict[str, Any]


def current(store: Path) -> Path:
    """Return the directory of a store's current version, without checking anything."""
    return store / (store / CURRENT).read_text().strip()


def republish(
    store: Path,
    *,
    manifest: Callable[[Json], object] = lambda record: None,
    calibration: Callable[[Json], object] = lambda record: None,
    files: dict[str, Callable[[bytes], bytes]] | None = None,
) -> str:
    """Publish the current version again with changes, its hashes right and nothing else checked.

    Args:
        store: directory of the store.
        manifest: changes the record of the manifest, after its hashes were put right.
        calibration: changes the record of the calibration.
        files: functions that return other contents, by the names of the files.

    Returns:
        Name of the version, which is the current one now.
    """
    old = current(store)
    record = json.loads((old / MANIFEST).read_bytes())
    policies = json.loads((old / CALIBRATION).read_bytes())
    calibration(policies)
    contents = {CALIBRATION: json.dumps(policies).encode()}
    contents |= {name: change((old / name).read_bytes()) for name, change in (files or {}).items()}
    for name, content in contents.items():
        record["files"][name] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    manifest(record)
    text = json.dumps(record).encode()
    version = version_of(text)
    if version != old.name:
        shutil.copytree(old, store / version, dirs_exist_ok=True)
    for name, content in {**contents, MANIFEST: text}.items():
        (store / version / name).write_bytes(content)
    (store / CURRENT).write_text(version)
    return version


_watched: dict[Path, Callable[[], None]] = {}
_opened: set[Path] = set()


def _on_event(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "open" or not _watched or not isinstance(arguments[0], str):
        return
    path = Path(arguments[0])
    for watched in list(_watched):
        if path == watched:
            _opened.add(path)
        elif watched in _opened:
            _watched.pop(watched)()


sys.addaudithook(_on_event)


@contextmanager
def changed_after_reading(path: Path, change: Callable[[], None]) -> Iterator[None]:
    """Change a file as soon as it has been read and another one is opened.

    This is what a process can do that may write to a store, between a check and a use.
    """
    _opened.discard(path)
    _watched[path] = change
    try:
        yield
    finally:
        _watched.pop(path, None)
