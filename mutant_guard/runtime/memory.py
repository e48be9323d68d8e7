"""Return of unused memory to the system."""

import ctypes
import gc


def give_back() -> None:
    """Collect garbage, and have the C library return free memory; takes some milliseconds.

    Once another version has taken the place of a store, the memory of the old one is free, but
    scattered over many places. glibc keeps those pages, and their number would grow with every new
    version. Other C libraries have no such function, or no need of it.
    """
    gc.collect()
    trim()


def trim() -> None:
    """Have the C library return free memory."""
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)
