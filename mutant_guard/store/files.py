"""Reading of files that somebody else put there, or is changing at this moment.

This module imports nothing but the standard library.
"""

import errno
import os
import stat
from pathlib import Path

SMALL = 1 << 16
"""Most bytes of a file that holds one short thing: a key, a signature, a name."""


def read_regular(path: Path, most: int, *, follow: bool = True) -> bytes:
    """Return the content of a regular file, or of one that a symbolic link leads to.

    It never waits, and takes no more memory than the file may have: pipes, devices and folders are
    refused, and so is a file that is larger, or that grows while it is read.

    Args:
        path: the file.
        most: most bytes that it may hold.
        follow: whether the file may be a symbolic link.

    Raises:
        OSError: the file cannot be read, is no regular file, or is too large.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
    descriptor = os.open(path, flags if follow else flags | os.O_NOFOLLOW)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        if found.st_size > most:
            raise OSError(errno.EFBIG, f"it has {found.st_size:,} bytes and may have {most:,}")
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read(found.st_size + 1)
    finally:
        os.close(descriptor)
    if len(content) > found.st_size:
        raise OSError(errno.EBUSY, "it grew while it was read")
    return content
