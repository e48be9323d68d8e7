"""Bound on what is read into memory at once."""

import os

from mutant_guard.errors import DataError


def check_memory(size: int, what: str) -> None:
    """Refuse an array that does not fit into this machine's memory, before it is made.

    Args:
        size: bytes of the array.
        what: name of the array for the message.

    Raises:
        DataError: the array is larger than the memory.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if size > memory:
        raise DataError(
            f"{what} take {size:,} bytes and this machine has {memory:,} of memory; give fewer or smaller images"
        )
