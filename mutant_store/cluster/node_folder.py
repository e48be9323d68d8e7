"""Files that the tasks of a node share: taken from the object store once, checked at every use."""

import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mutant_guard.errors import GuardError
from mutant_guard.store.atomic import SECRET, write_atomically

_PREFIX = f"mutant-guard-{os.getuid()}-"
_DAY = 24 * 3600


@dataclass(frozen=True)
class SharedFile:
    """File of the machine that gives the work.

    Attributes:
        name: name of the file.
        digest: SHA-256 of its content, in hex.
        content: reference of its content, uint8 [bytes], in the object store.
    """

    name: str
    digest: str
    content: Any


class NodeFolder:
    """Folder of temporary files on a node, for one connection to the cluster."""

    def __init__(self, token: str) -> None:
        """Name the folder.

        Args:
            token: name of the connection.
        """
        self._path = Path(tempfile.gettempdir()) / f"{_PREFIX}{token}"

    @contextmanager
    def for_task(self, files: Sequence[SharedFile]) -> Iterator[Path]:
        """Give a folder of a task's own, with links to the files that all tasks read.

        Raises:
            GuardError: a file of this node is not the one that was sent.
        """
        self._path.mkdir(mode=0o700, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._path) as name:
            _remove_old()
            for shared in files:
                (Path(name) / shared.name).symlink_to(self._checked(shared))
            yield Path(name)

    def seen(self) -> None:
        """Note that the folder is in use."""
        os.utime(self._path)

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self._path, ignore_errors=True)

    def _checked(self, shared: SharedFile) -> Path:
        """Return the file with this content, which the first task writes."""
        path = self._path / shared.digest
        with (self._path / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.exists():
                import ray

                write_atomically(path, memoryview(ray.get(shared.content)), mode=SECRET)
        if digest_of(path) != shared.digest:
            path.unlink(missing_ok=True)
            raise GuardError(
                f"{path} on a node of the cluster is not what was sent: run the same command again"
            )
        return path


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_of(path: Path) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """Return the bytes of a file, uint8 [bytes], read as they are used."""
    return np.asarray(np.memmap(path, np.uint8, mode="r")).view(np.ndarray)


def _remove_old() -> None:
    """Remove folders that a killed command left, a day after their last use."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            if time.time() - folder.stat().st_mtime > _DAY:
                shutil.rmtree(folder)
        except OSError:  # another task removes it
            continue
