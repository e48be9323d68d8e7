"""Boundary around foreign libraries that read what a user gives.

Damaged files make parsers raise whatever they like; a list of exceptions is never complete.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mutant_guard.errors import GuardError

_MOST_CHARACTERS = 300
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_POINTER = b"version https://git-lfs"


@contextmanager
def boundary(kind: type[GuardError], what: str, remedy: str) -> Iterator[None]:
    """Turn every exception of a block into one line with the thing and the remedy.

    Errors that have such a line already pass, and so does a lack of memory, which says nothing
    about the file.

    Args:
        kind: class of the error to raise.
        what: the thing that cannot be used, and that it cannot.
        remedy: what to do about it.

    Raises:
        GuardError: of the class ``kind``, where the block raises anything else; the cause is
            chained.
    """
    try:
        yield
    except (GuardError, MemoryError):
        raise
    except Exception as error:
        raise kind(f"{what} ({first_line(error)}); {remedy}") from error


def first_line(error: BaseException) -> str:
    """Return what an exception says first, shortened to one line of at most 300 characters."""
    lines = (" ".join(line.split()) for line in str(error).splitlines())
    line = next(filter(None, lines), "")
    line = printable(_COLOURS.sub("", line)) or type(error).__name__
    return line if len(line) <= _MOST_CHARACTERS else f"{line[:_MOST_CHARACTERS]} …"


def printable(text: str) -> str:
    """Return a text with a mark in the place of what is no plain text, such as a line break."""
    return "".join(sign if sign.isprintable() else "�" for sign in text)


def check_no_pointer(path: Path, kind: type[GuardError]) -> None:
    """Refuse a Git LFS pointer that stands where the file itself should.

    Raises:
        GuardError: of the class ``kind``, for a pointer.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        if file.read(len(_POINTER)) == _POINTER:
            raise kind(f"{path} is a Git LFS pointer and not the file itself; run git lfs pull")
