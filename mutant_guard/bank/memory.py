"""Memory that runs of networks may take, in bytes.

Its imports are light: both the server and the offline tools load it.
"""

from itertools import pairwise
from pathlib import Path

from mutant_guard.bank.cores import cgroups

RUN_BYTES = 1 << 26
"""Most bytes of activations of one thread's run, 64 MiB.

A few rows of a large network fill it; more at a time are slower, as they leave the caches.
"""

KEPT_BYTES = 1 << 27
"""Most bytes of features that are kept for later runs, 128 MiB."""

LEAST_BYTES = 1 << 24
"""Least limit, 16 MiB."""

_SHARE = 4
_NO_LIMIT = 1 << 60
"""Bytes above which version 1 of cgroups means no limit."""

_MEMINFO = Path("/proc/meminfo")


class _Limit:
    """Limit of this process in bytes; None until it is set or asked for."""

    size: int | None = None


def set_limit(size: int | None) -> None:
    """Set the limit of this process, in bytes.

    Args:
        size: ``LEAST_BYTES`` or more; None takes a quarter of the memory that is free.
    """
    _Limit.size = size


def limit() -> int:
    """Return the bytes that the runs of this process may take together, at least 16 MiB.

    It is what ``set_limit`` set, or a quarter of what was free when it was asked for first.
    """
    if _Limit.size is None:
        _Limit.size = max(LEAST_BYTES, free_memory() // _SHARE)
    return _Limit.size


def run_bytes(threads: int) -> int:
    """Return the bytes of activations that each of so many threads may take in a run.

    It is ``RUN_BYTES`` unless that is too much for the limit: what runs together is a function of
    the networks alone where memory is not short.
    """
    return min(RUN_BYTES, limit() // (_SHARE * threads))


def kept_bytes() -> int:
    """Return the bytes of features that may be kept for later runs."""
    return min(KEPT_BYTES, limit() // _SHARE)


def rows_within(size: int, row_bytes: int, most: int) -> int:
    """Return the number of rows of ``row_bytes`` that ``size`` bytes hold, from 1 to ``most``."""
    return max(1, min(most, size // max(1, row_bytes)))


def even_blocks(count: int, most: int) -> list[slice]:
    """Cut the positions 0 to ``count`` − 1 into as few blocks of at most ``most`` as there can be.

    The blocks are as even as possible.
    """
    blocks = max(1, -(-count // most))
    edges = [count * number // blocks for number in range(blocks + 1)]
    return [slice(start, stop) for start, stop in pairwise(edges)]


def free_memory() -> int:
    """Return the bytes that this process may still take.

    It is what the kernel calls available, capped by what the process's cgroups leave. Sources:
    proc_meminfo(5); the kernel's cgroup-v2.rst and cgroup-v1/memory.rst. Where the kernel does not
    tell, it is 1 GiB.
    """
    available = _number_in(_MEMINFO, "MemAvailable:")
    return max(0, min([1 << 30 if available is None else 1024 * available, *_left()]))


def _left() -> list[int]:
    """Return the bytes that each cgroup of this process leaves, where it sets a limit."""
    found = []
    for version, folder in cgroups("memory"):
        names = ("memory.max", "memory.current", "inactive_file")
        if version == 1:
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        most, used = (_number_in(folder / name) for name in names[:2])
        if most is not None and used is not None and most < _NO_LIMIT:
            cached = _number_in(folder / "memory.stat", names[2]) or 0
            found.append(most - used + cached)
    return found


def _number_in(file: Path, name: str = "") -> int | None:
    """Return the number in a file, or the one that follows a name at the start of a line."""
    try:
        for line in file.read_text(encoding="ascii").splitlines():
            words = line.split()
            if not name or words[:1] == [name]:
                return int(words[1 if name else 0])
    except (OSError, ValueError, IndexError):  # 'max' is no limit
        return None
    return None
