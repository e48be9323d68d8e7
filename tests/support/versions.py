"""Further versions of a store without building them, and processes killed at any point."""

import json
import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

from mutant_guard.store.reader import MANIFEST, load_store
from mutant_store.publishing.publish import STAGING, publish


def copy_of(store: Path, folder: Path) -> Path:
    """Copy a store, so that a test can change it."""
    return Path(shutil.copytree(store, folder / store.name))


def add_version(store: Path, *, published: float | None = None, **changes: object) -> str:
    """Publish the current version again with another manifest, and return its name.

    Args:
        store: folder of the store.
        published: time of publishing in seconds, or None for now.
        changes: fields of the manifest that change.
    """
    staged = Path(shutil.copytree(load_store(store).path, store / STAGING))
    manifest = json.loads((staged / MANIFEST).read_bytes()) | changes
    (staged / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    version = publish(store, staged, (staged / MANIFEST).read_bytes())
    if published is not None:
        os.utime(store / version / MANIFEST, (published, published))
    return version


def damage(path: Path) -> None:
    """Flip a bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def killed_at(step: int, work: Callable[[], object]) -> bool:
    """Do some work in a process that is killed before its ``step``-th change or flush.

    Changes of a directory and flushes of a file count.

    Returns:
        Whether the process was killed; False where the work has fewer steps.
    """

    def child() -> None:
        left = step

        def counted(real: Callable[..., object]) -> Callable[..., object]:
            def call(*arguments: object, **options: object) -> object:
                nonlocal left
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                left -= 1
                return real(*arguments, **options)

            return call

        for name in ("fsync", "rename", "replace", "unlink", "rmdir"):
            setattr(os, name, counted(getattr(os, name)))
        work()

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(60)
    assert process.exitcode in {0, -signal.SIGKILL}
    return process.exitcode != 0
