"""Fixtures that take long to make, kept on disk under a digest of everything they are made of."""

import fcntl
import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "runs" / "fixtures"
_DONE = "done"
_MADE_OF = ("mutant_guard", "mutant_store", "service", "evaluation", "tests/support")


@cache
def digest() -> str:
    """Return the digest of the sources and versions that fixtures are made with, in hex."""
    found = hashlib.sha256((ROOT / "constraints.txt").read_bytes())
    for folder in _MADE_OF:
        for path in sorted((ROOT / folder).rglob("*.py")):
            found.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return found.hexdigest()[:16]


def kept(name: str, make: Callable[[Path], None]) -> Path:
    """Return the folder of a fixture; make it where it is not there, or was not finished.

    Processes that want the same fixture at the same time wait for the one that makes it. What other
    sources made is removed. Tests must not change the folder.

    Args:
        name: name of the fixture, and of its folder.
        make: fills the folder it is given, which is empty.
    """
    mine = FOLDER / digest()
    with _locked(name):
        folder = mine / name
        if not (folder / _DONE).exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            make(folder)
            (folder / _DONE).touch()
        for other in FOLDER.iterdir():
            if other.is_dir() and other != mine:
                shutil.rmtree(other / name, ignore_errors=True)
    return folder


@contextmanager
def _locked(name: str) -> Iterator[None]:
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def void(_: object) -> None:
    """Drop a result, so that a call may stand in a lambda that returns nothing."""
